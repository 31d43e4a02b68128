#include "commands/device_flag.h"

#include <CLI/CLI.hpp>
#include <string>

#include "kernels/device_name.h"

namespace guildhall {

void AddDeviceFlag(CLI::App& command, BackendOptions& backend) {
  command
      .add_option_function<std::string>(
          "--device",
          [&backend](const std::string& text) {
            const auto device = ParseDeviceName(text);
            if (!device.ok()) throw CLI::ValidationError("--device", std::string(device.status().message()));
            backend.device = text;
          },
          "what computes: auto, cpu, cuda or cuda:1")
      ->default_str(backend.device);
}

}  // namespace guildhall
