#include "commands/bench_flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "base/str_cat.h"
#include "bench/shapes.h"
#include "commands/device_flag.h"

namespace guildhall {

void AddShapeFlags(CLI::App& command, std::string& shape, int& layers) {
  command.add_option("--shape", shape, "the shape to generate")
      ->check(CLI::IsMember(ShapeNames()))
      ->capture_default_str();
  command.add_option("--layers", layers, "fewer layers than the shape has; 0: all")
      ->check(CLI::Range(0, 1000));
}

void AddBackendFlags(CLI::App& command, BackendOptions& backend) {
  AddDeviceFlag(command, backend);
  CpuOptions& cpu = backend.cpu;
  command.add_option("--threads", cpu.threads, "0: the CPUs that the process may use")
      ->check(CLI::Range(0, 1024));
  command.add_flag("--pin", cpu.pin, "bind the threads to CPUs");
  command.add_option("--isa", cpu.isa, "portable, avx2 or avx512; default: GUILDHALL_ISA, else the best");
}

void AddWeightsFlag(CLI::App& command, WeightFormats& formats) {
  command.add_option_function<std::string>(
      "--weights,--format",
      [&formats](const std::string& text) {
        const auto parsed = ParseWeightFormats(text);
        if (!parsed.ok()) throw CLI::ValidationError("--weights", std::string(parsed.status().message()));
        formats = *parsed;
      },
      "int8, int4, ... for every kind of matrix, or KIND=FORMAT,... (kinds: experts, shared_experts, dense, "
      "attention, head)");
}

void AddRoundFlags(CLI::App& command, int& rounds, double& seconds) {
  command.add_option("--rounds", rounds, "rounds over all cases; medians are reported")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--seconds", seconds, "of each measurement")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

absl::Status WriteTextFile(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::fputs(text.c_str(), stdout);
    return absl::OkStatus();
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return absl::InternalError(StrCat(path, ": cannot be written"));
  return absl::OkStatus();
}

}  // namespace guildhall
