#include "kernels/device_name.h"

#include <charconv>

#include "base/str_cat.h"

namespace guildhall {

absl::StatusOr<DeviceName> ParseDeviceName(std::string_view text) {
  using Kind = DeviceName::Kind;
  if (text == "auto") return DeviceName{.kind = Kind::kAuto};
  if (text == "cpu") return DeviceName{.kind = Kind::kCpu};
  if (text == "cuda") return DeviceName{.kind = Kind::kCuda};
  constexpr std::string_view kIndexed = "cuda:";
  if (text.starts_with(kIndexed)) {
    const std::string_view number = text.substr(kIndexed.size());
    DeviceName device{.kind = Kind::kCuda};
    const auto [end, error] = std::from_chars(number.begin(), number.end(), device.index);
    if (error == std::errc() && end == number.end() && device.index >= 0) return device;
  }
  return absl::InvalidArgumentError(
      StrCat("device: expected \"auto\", \"cpu\", \"cuda\" or \"cuda:1\", found \"", text, "\""));
}

}  // namespace guildhall
