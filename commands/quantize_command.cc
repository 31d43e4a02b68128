// guildhall quantize: a model folder whose weights are packed in given formats and load without packing.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>

#include "base/status.h"
#include "base/str_cat.h"
#include "commands/commands.h"
#include "commands/device_flag.h"
#include "commands/progress.h"
#include "kernels/make_backend.h"
#include "runtime/model_files.h"
#include "server/version.h"
#include "tools/quantize_folder.h"

namespace guildhall {
namespace {

struct QuantizeFlags {
  std::string folder, out, weights;
  std::map<std::string, std::string> by_kind;  // "experts" -> "int4"
  CheckpointOptions checkpoint;
  BackendOptions backend;
  bool force = false;
};

absl::StatusOr<WeightFormats> FormatsOf(const QuantizeFlags& flags) {
  WeightFormats formats;
  if (!flags.weights.empty()) {
    GH_ASSIGN_OR_RETURN(formats, ParseWeightFormats(flags.weights));
  }
  for (const WeightKind& kind : kWeightKinds) {
    const auto given = flags.by_kind.find(std::string(kind.name));
    if (given == flags.by_kind.end() || given->second.empty()) continue;
    GH_ASSIGN_OR_RETURN(formats.*kind.format, ParseFormatChoice(StrCat("--", kind.name), given->second));
  }
  return formats;
}

void Report(const std::string& out, const PackedManifest& manifest, size_t source_bytes) {
  std::map<WeightFormat, std::pair<size_t, uint64_t>> by_format;
  for (const PackedTensor& tensor : manifest.tensors) {
    auto& [count, bytes] = by_format[tensor.format];
    ++count;
    bytes += tensor.bytes;
  }
  std::printf("%s: %zu tensors, %.1f MB (the checkpoint: %.1f MB), weights %s, for %s\n", out.c_str(),
              manifest.tensors.size(), static_cast<double>(manifest.bytes) * 1e-6,
              static_cast<double>(source_bytes) * 1e-6, WeightFormatsText(manifest.formats).c_str(),
              manifest.layout.c_str());
  for (const auto& [format, sums] : by_format) {
    std::printf("  %-12s %6zu tensors %12.1f MB\n", std::string(WeightFormatName(format)).c_str(), sums.first,
                static_cast<double>(sums.second) * 1e-6);
  }
}

absl::Status Quantize(const QuantizeFlags& flags) {
  QuantizeOptions options;
  GH_ASSIGN_OR_RETURN(options.formats, FormatsOf(flags));
  options.force = flags.force;
  options.tool = StrCat("guildhall ", Version());
  // What would not be served is not packed.
  GH_ASSIGN_OR_RETURN(const ModelFiles files, OpenModelFiles(flags.folder, flags.checkpoint));
  if (files.packed != nullptr) return Checkpoint::Open(flags.folder, flags.checkpoint).status();
  const Checkpoint& checkpoint = *files.checkpoint;
  GH_ASSIGN_OR_RETURN(const auto backend, MakeBackend(flags.backend));
  absl::StatusOr<PackedManifest> manifest;
  {
    LoadProgress progress("packing " + flags.folder);
    manifest = QuantizeFolder(checkpoint, *backend, flags.out, options,
                              [&](size_t done, size_t all) { progress.Update(done, all); });
  }
  GH_RETURN_IF_ERROR(manifest.status());
  Report(flags.out, *manifest, checkpoint.TotalBytes());
  return absl::OkStatus();
}

int RunQuantize(const QuantizeFlags& flags) {
  const absl::Status status = Quantize(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "guildhall quantize: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

void AddQuantizeCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "quantize", "write a folder whose weights are packed in given formats: it loads by reading or mapping");
  auto flags = std::make_shared<QuantizeFlags>();
  command->add_option("folder", flags->folder, "a Hugging Face model folder")->required();
  command->add_option("out", flags->out, "the folder to write")->required();
  command->add_option(
      "--weights", flags->weights,
      "formats: int8, or by kind experts=int4,attention=int8; what is not named stays as it is");
  for (const WeightKind& kind : kWeightKinds) {
    std::string option = StrCat("--", kind.name);
    if (const size_t mark = option.find('_'); mark != std::string::npos) {
      option = StrCat("--", std::string(kind.name).replace(mark - 2, 1, "-"), ",", option);
    }
    command->add_option(option, flags->by_kind[std::string(kind.name)],
                        "auto, f32, bf16, f16, int8, int4 or int4_offset");
  }
  AddDeviceFlag(*command, flags->backend);
  command->add_option(
      "--isa", flags->backend.cpu.isa,
      "level of the CPU to pack for: portable, avx2 or avx512; default: GUILDHALL_ISA, else the best");
  command->add_option("--ignore-config-key", flags->checkpoint.ignore_config_keys,
                      "a key of config.json that you know to be harmless (may be repeated)");
  command->add_flag("--force", flags->force, "replace a packed folder that is there");
  command->callback([flags, &action] { action = [flags] { return RunQuantize(*flags); }; });
}

}  // namespace guildhall
