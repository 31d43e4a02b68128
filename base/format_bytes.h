// A number of bytes, for people.
#pragma once

#include <cstdint>
#include <string>

namespace guildhall {

// "11.6 GiB", "512.0 KiB", "97 B"; binary units up to PiB, with `decimals` digits behind the point. No locale
// changes it.
std::string FormatBytes(uint64_t bytes, int decimals = 1);

}  // namespace guildhall
