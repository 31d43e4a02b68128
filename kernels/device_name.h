// The names of devices, as configuration and command line say them.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"

namespace guildhall {

// "auto", "cpu", "cuda" (the first device that the driver shows) or "cuda:1".
struct DeviceName {
  enum class Kind {
    kAuto,  // a device that has room for the model, else the CPU
    kCpu,
    kCuda,
  };
  Kind kind = Kind::kAuto;
  int index = 0;  // kCuda: among the devices that the driver shows
};

// INVALID_ARGUMENT with the names that there are.
absl::StatusOr<DeviceName> ParseDeviceName(std::string_view text);

}  // namespace guildhall
