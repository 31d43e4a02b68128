// Rows of elements brought from one dtype to another: what packing does to every weight.
//
// Inline, so that a source that is compiled for several instruction sets has its loops in each of them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"

namespace guildhall {

// Round to nearest, ties to even; overflow becomes infinity, a NaN stays one.
constexpr uint16_t FloatToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Below the normal halves: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// `count` elements as `dtype`, rounded or widened; at any address.
inline void ConvertElements(const std::byte* from, DType from_dtype, int64_t count, DType dtype,
                            std::byte* to) {
  if (from_dtype == dtype) {
    std::memcpy(to, from, static_cast<size_t>(count) * DTypeSize(dtype));
    return;
  }
  constexpr int64_t kPiece = 128;
  float wide[kPiece];
  uint16_t narrow[kPiece];
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    const auto size = static_cast<size_t>(std::min(kPiece, count - begin));
    if (from_dtype == DType::kF32) {
      std::memcpy(wide, from, size * sizeof(float));
    } else {
      std::memcpy(narrow, from, size * sizeof(uint16_t));
      const bool bf16 = from_dtype == DType::kBF16;
      for (size_t i = 0; i < size; ++i) wide[i] = bf16 ? BF16ToFloat(narrow[i]) : F16ToFloat(narrow[i]);
    }
    if (dtype == DType::kF32) {
      std::memcpy(to, wide, size * sizeof(float));
    } else {
      const bool bf16 = dtype == DType::kBF16;
      for (size_t i = 0; i < size; ++i) narrow[i] = bf16 ? FloatToBF16(wide[i]) : FloatToF16(wide[i]);
      std::memcpy(to, narrow, size * sizeof(uint16_t));
    }
    from += size * DTypeSize(from_dtype);
    to += size * DTypeSize(dtype);
  }
}

}  // namespace guildhall
