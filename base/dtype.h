// Element types of weights and of the KV cache, and the exact conversions between them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace guildhall {

enum class DType { kF32, kBF16, kF16 };

// Bytes of one element.
constexpr size_t DTypeSize(DType dtype) {
  return dtype == DType::kF32 ? 4 : 2;
}

// "F32", "BF16", "F16": the names that safetensors uses.
std::string_view DTypeName(DType dtype);

// Accepts the names of safetensors ("BF16") and of config.json ("bfloat16", "torch.bfloat16").
std::optional<DType> ParseDType(std::string_view name);

// bfloat16 is the upper half of a float.
constexpr float BF16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Round to nearest, ties to even; a NaN stays a (quiet) NaN.
constexpr uint16_t FloatToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float F16ToFloat(uint16_t bits);

// Element `index` of an array of `dtype`, widened exactly.
float LoadElement(const void* data, DType dtype, int64_t index);

}  // namespace guildhall
