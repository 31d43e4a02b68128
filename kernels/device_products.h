// Who computes the products of many rows on a device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace guildhall {

enum class DeviceProducts {
  kExact,    // this program's kernels: a row's bits are the same whatever it is batched with
  kLibrary,  // the vendor's library, which chooses its kernels by shape: they are not
};

// Of kLibrary.
struct LibraryOptions {
  int64_t rows = 64;                     // products of fewer stay exact
  size_t part_bytes = size_t{32} << 20;  // of each operand and of the sums: larger products come in parts
};

// "exact", "library": the words of configuration, command line and status.
constexpr std::string_view DeviceProductsName(DeviceProducts products) {
  return products == DeviceProducts::kExact ? "exact" : "library";
}

constexpr std::optional<DeviceProducts> ParseDeviceProducts(std::string_view text) {
  for (const DeviceProducts products : {DeviceProducts::kExact, DeviceProducts::kLibrary}) {
    if (text == DeviceProductsName(products)) return products;
  }
  return std::nullopt;
}

}  // namespace guildhall
