// How one KV block of one layer lies in device memory.
//
// Per key head: keys (16, key_columns), then values (16, value_columns), then with int8 scales (2, 16)
// floats, of the key and the value, or of the latent and the rotary part. Rows are filled up with zeros to
// multiples of 16 numbers: one step of a matrix instruction, 16-byte aligned in every format. Latent
// attention has keys alone, in two parts that are filled up apart: the latent part, which is the value, and
// the rotary part, which always has columns.
//
// A token with a key or value that is no finite number of the format is stored as a key of NaN and a value of
// zeros (int8: by its scale): who sees the token gets NaN, and for who does not, the weight 0 times the value
// is 0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "kernels/kv_shape.h"

namespace guildhall::cuda {

// Plain data that kernels take by value. In bytes where not said otherwise.
struct KvLayout {
  KvFormat format;
  int parts[2];       // numbers of the key's parts; without latent attention all are in the first
  int columns[2];     // of the parts, with what fills them up
  int key_columns;    // of both
  int value_dim;      // numbers of a value
  int value_columns;  // of a value's row; latent: those of the first part
  bool latent;
  int64_t key_row, value_row;  // from one token's row to the next
  int64_t values;              // from a head's beginning to its values; latent: 0
  int64_t scales;              // from a head's beginning to its scales
  int64_t head;                // from one head to the next
  int64_t block;               // of all heads

  explicit KvLayout(const KvShape& shape)
      : format(shape.format),
        parts{shape.value_in_key ? shape.value_dim : shape.key_dim,
              shape.value_in_key ? shape.key_dim - shape.value_dim : 0},
        columns{FillUp(parts[0]), shape.value_in_key ? FillUp(parts[1] > 0 ? parts[1] : 1) : 0},
        key_columns(columns[0] + columns[1]),
        value_dim(shape.value_dim),
        value_columns(FillUp(shape.value_dim)),
        latent(shape.value_in_key),
        key_row(Element() * key_columns),
        value_row(latent ? key_row : Element() * value_columns),
        values(latent ? 0 : kKvBlockTokens * key_row),
        scales(values + kKvBlockTokens * value_row),
        head(scales + (format == KvFormat::kInt8 ? 2 * kKvBlockTokens * int64_t{sizeof(float)} : 0)),
        block(head * shape.kv_heads) {}

 private:
  static int FillUp(int count) { return (count + 15) / 16 * 16; }
  int64_t Element() const { return KvNumberBytes(format); }
};

}  // namespace guildhall::cuda

namespace guildhall {

inline size_t CudaKvBlockBytes(const KvShape& shape) {
  GH_CHECK_GT(shape.kv_heads, 0);
  GH_CHECK_GT(shape.key_dim, 0);
  GH_CHECK_GT(shape.value_dim, 0);
  GH_CHECK(!shape.value_in_key || shape.value_dim <= shape.key_dim);
  return static_cast<size_t>(cuda::KvLayout(shape).block);
}

}  // namespace guildhall
