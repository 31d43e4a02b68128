// How one KV block of one layer lies in memory.
//
// With values of their own, per head: keys transposed, so that the scores of the block's 16 tokens are one
// vector, then values. Latent attention: keys (16, key_dim) alone, of which the values are a part.
//   f32, f16    keys (key_dim, 16), values (16, value_dim)
//   bf16, int8  keys (key_dim / 2, 16, 2), values (8, value_dim, 2): two neighbours that one instruction
//               multiplies and adds; an odd key_dim is filled up with a zero
// int8: two scales for each token stand behind a head's numbers, (2, 16) floats: of the key and the value, or
// of the latent and the rotary part.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kv_shape.h"

namespace guildhall {

// All in bytes where not said otherwise.
struct KvLayout {
  explicit KvLayout(const KvShape& shape)
      : element(static_cast<size_t>(KvNumberBytes(shape.format))),
        key_elements(KeyElements(shape)),
        elements(key_elements + (shape.value_in_key ? 0 : kKvBlockTokens * int64_t{shape.value_dim})),
        values(shape.value_in_key ? 0 : element * static_cast<size_t>(key_elements)),
        scales((element * static_cast<size_t>(elements) + 63) / 64 * 64),
        head(shape.format == KvFormat::kInt8 ? scales + 2 * kKvBlockTokens * sizeof(float)
                                             : element * static_cast<size_t>(elements)),
        block(head * static_cast<size_t>(shape.kv_heads)) {}

  size_t element;        // one number
  int64_t key_elements;  // numbers of a head's keys
  int64_t elements;      // numbers of a head
  size_t values;         // from a head's beginning to its values; 0: they are in the keys
  size_t scales;         // from a head's beginning to its scales
  size_t head;           // from one head to the next
  size_t block;          // from one block to the next

 private:
  static int64_t KeyElements(const KvShape& shape) {
    const bool neighbours = shape.format == KvFormat::kBF16 || shape.format == KvFormat::kInt8;
    const bool pairs = !shape.value_in_key && neighbours;
    return kKvBlockTokens * (pairs ? (int64_t{shape.key_dim} + 1) / 2 * 2 : int64_t{shape.key_dim});
  }
};

}  // namespace guildhall
