// The shape and the number format of one layer's KV cache.
#pragma once

#include <optional>
#include <string_view>

#include "base/dtype.h"

namespace guildhall {

// How the cache stores keys and values.
enum class KvFormat {
  kF32,
  kBF16,
  kF16,
  // scale * q, q in [-127, 127]: one float scale for each token and key head's key and one for its value. The
  // key of latent attention has one for the part that is also the value and one for the rotary part, whose
  // sizes differ.
  kInt8,
};
inline constexpr KvFormat kKvFormats[] = {KvFormat::kF32, KvFormat::kBF16, KvFormat::kF16, KvFormat::kInt8};

// "f32", "bf16", "f16", "int8": the words of configuration, logs and reports.
constexpr std::string_view KvFormatName(KvFormat format) {
  constexpr std::string_view kNames[] = {"f32", "bf16", "f16", "int8"};
  return kNames[static_cast<int>(format)];
}
constexpr std::optional<KvFormat> ParseKvFormat(std::string_view name) {
  for (const KvFormat format : kKvFormats) {
    if (KvFormatName(format) == name) return format;
  }
  return std::nullopt;
}

// What a model of `dtype` gets unless something else is asked for.
constexpr KvFormat DefaultKvFormat(DType dtype) {
  constexpr KvFormat kFormats[] = {KvFormat::kF32, KvFormat::kBF16, KvFormat::kF16};
  return kFormats[static_cast<int>(dtype)];
}

// Bytes of one number.
constexpr int KvNumberBytes(KvFormat format) {
  constexpr int kBytes[] = {4, 2, 2, 1};
  return kBytes[static_cast<int>(format)];
}

// Latent attention stores one head whose value is the first `value_dim` elements of its key. A block holds
// kKvBlockTokens tokens of one sequence; its inner layout is the backend's own.
inline constexpr int kKvBlockTokens = 16;
struct KvShape {
  int kv_heads = 0;
  int key_dim = 0;
  int value_dim = 0;
  bool value_in_key = false;  // latent: no separate values are stored
  KvFormat format = KvFormat::kBF16;
};

}  // namespace guildhall
