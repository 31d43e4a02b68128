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
  command
      .add_option_function<std::string>(
          "--device-products",
          [&backend](const std::string& text) {
            const auto products = ParseDeviceProducts(text);
            if (!products) {
              throw CLI::ValidationError("--device-products",
                                         "expected \"exact\" or \"library\", found \"" + text + "\"");
            }
            backend.products = *products;
          },
          "who computes products of many rows on a CUDA device: exact, or library (cuBLAS)")
      ->default_str(std::string(DeviceProductsName(backend.products)));
}

}  // namespace guildhall
