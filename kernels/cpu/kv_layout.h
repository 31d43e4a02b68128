// How one KV block of one layer lies in memory.
//
// With values of their own, per head: keys (key_dim, 16) transposed, so that the scores of the block's 16
// tokens are one vector, then values (16, value_dim). Latent attention: keys (16, key_dim) alone, of which
// the values are a part.
#pragma once

#include <cstddef>

#include "kernels/ops.h"

namespace guildhall {

// All in bytes.
struct KvLayout {
  explicit KvLayout(const KvShape& shape)
      : element(shape.format == KvFormat::kF32 ? 4 : 2),
        values(shape.value_in_key ? 0 : element * kKvBlockTokens * static_cast<size_t>(shape.key_dim)),
        head(element * kKvBlockTokens *
             static_cast<size_t>(shape.key_dim + (shape.value_in_key ? 0 : shape.value_dim))),
        block(head * static_cast<size_t>(shape.kv_heads)) {}

  size_t element;  // one number
  size_t values;   // from a head's beginning to its values
  size_t head;     // from one head to the next
  size_t block;    // from one block to the next
};

}  // namespace guildhall
