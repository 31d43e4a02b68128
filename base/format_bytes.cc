#include "base/format_bytes.h"

#include <array>
#include <charconv>

namespace guildhall {

std::string FormatBytes(uint64_t bytes, int decimals) {
  constexpr std::array<const char*, 5> kNames = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024.0;
  size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < kNames.size()) {
    value /= 1024.0;
    ++unit;
  }
  char digits[64];
  const auto end =
      std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::fixed, decimals).ptr;
  return std::string(digits, end) + " " + kNames[unit];
}

}  // namespace guildhall
