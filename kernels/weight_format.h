// How the numbers of a packed weight matrix are stored.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"

namespace guildhall {

// The quantized formats hold blocks of kQuantBlock neighbours along `in`: integers with one bf16 scale for
// each block (kInt4Offset: and one bf16 offset). What a product with one of them rounds its input to is the
// back end's choice: int8 by blocks, whose products are then summed exactly in integers, or bf16.
enum class WeightFormat {
  kF32,
  kBF16,
  kF16,
  kInt8,        // scale * q, q in [-127, 127]
  kInt4,        // scale * q, q in [-8, 7]
  kInt4Offset,  // scale * q + offset, q in [0, 15]
};
inline constexpr int kWeightFormats = 6;

inline constexpr int64_t kQuantBlock = 32;

constexpr bool IsQuantized(WeightFormat format) {
  return format == WeightFormat::kInt8 || format == WeightFormat::kInt4 ||
         format == WeightFormat::kInt4Offset;
}

// The format that keeps every number of a checkpoint's tensor as it is.
constexpr WeightFormat FormatOf(DType dtype) {
  return dtype == DType::kF32 ? WeightFormat::kF32
                              : (dtype == DType::kBF16 ? WeightFormat::kBF16 : WeightFormat::kF16);
}

// The other way; only for formats that are not quantized.
constexpr DType DTypeOf(WeightFormat format) {
  return format == WeightFormat::kF32 ? DType::kF32
                                      : (format == WeightFormat::kBF16 ? DType::kBF16 : DType::kF16);
}

// "f32", "bf16", "f16", "int8", "int4", "int4_offset": the words of configuration, logs and reports.
std::string_view WeightFormatName(WeightFormat format);
std::optional<WeightFormat> ParseWeightFormat(std::string_view name);

// Bits that one weight takes, its share of scales and offsets counted in.
double BitsPerWeight(WeightFormat format);

}  // namespace guildhall
