// The steps of attention over one span of keys, at each instruction-set level and for each format of the
// cache.
//
// A (row, head) pair is a query. Its result has one order of operations whatever tile it stands in; a tile
// only lets several queries share each read of keys and values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/kv_shape.h"

namespace guildhall {

inline constexpr int kMaxTileQueries = 32;

// Keys are weighed in spans at absolute multiples of this: one maximum, one rescaling of what was summed
// before.
inline constexpr int kSpanTokens = 64;
inline constexpr int kSpanBlocks = kSpanTokens / kKvBlockTokens;

// A query's state: greatest score, sum of exp(score - greatest), and from kStateOut on the weighted sum of
// the values, not yet divided, padded to whole vectors.
inline constexpr int kStateOut = 16;
constexpr int64_t StateFloats(int64_t value_dim) {
  return kStateOut + (value_dim + 31) / 32 * 32;
}

// The tile's queries and the span that they look at. Numbers of keys and values are float, bf16 or f16, laid
// out as kv_layout.h says; those of an int8 cache have become bf16 before, exactly, and their scales stand
// beside.
struct AttentionWork {
  int queries;
  int64_t key_dim, value_dim;
  bool latent;
  bool quantized;  // int8: the scales below are there
  float scale;

  const float* q[kMaxTileQueries];  // (key_dim) each
  const uint16_t* q_bf16;           // (queries, q_stride) the same rounded; null unless the kernels want it
  int64_t q_stride;

  int lo[kMaxTileQueries];  // visible tokens of the span: [lo, hi), empty if hi <= lo
  int hi[kMaxTileQueries];

  const void* keys[kSpanBlocks];  // null where no query looks
  const void* values[kSpanBlocks];
  const void* next_keys[kSpanBlocks];  // of the next span, to be fetched early; as above where there is none
  const void* next_values[kSpanBlocks];

  // int8: of the 16 tokens of each block, else null. Latent: `key_scale` for the latent part, which are the
  // values too, and `rotary_scale` for the rest of the key, whose scores then stand apart.
  const float* key_scale[kSpanBlocks];
  const float* rotary_scale[kSpanBlocks];
  const float* value_scale[kSpanBlocks];

  float* scores;         // (queries, kSpanTokens); after weighing the weights
  float* rotary_scores;  // likewise, null without rotary_scale
  float* state;          // (queries, state_stride)
  int64_t state_stride;

  float* State(int query) const { return state + query * state_stride; }
};

struct AttentionKernels {
  // Scores of all queries with the keys of the span's visible blocks, not yet scaled.
  void (*score)(const AttentionWork& work);
  // The span's scores of one query into weights relative to the new maximum; its state follows.
  void (*weigh)(const AttentionWork& work, int query);
  // State += weights times values over each query's visible tokens. May use `scores` up.
  void (*add_values)(const AttentionWork& work);
  // total := total and part together, in this order.
  void (*merge)(float* total, const float* part, int64_t value_dim);
  // y = the values of a state divided by its sum.
  void (*finish)(const float* state, int64_t value_dim, float* y);
  // int8 codes to bf16; `next`: as many codes to be fetched early.
  void (*expand)(const int8_t* codes, int64_t count, uint16_t* to, const int8_t* next);
  // Null, or queries are wanted in bf16: x rounded to nearest even, then zeros up to `padded`.
  void (*round_query)(const float* x, int64_t count, int64_t padded, uint16_t* to);
};

AttentionKernels ChooseAttentionKernels(const KvShape& shape, Isa isa);

// The parts of the choice, by the numbers of keys and values.
using AttentionStep = void (*)(const AttentionWork& work);
AttentionStep ChooseScore(DType numbers, bool latent, Isa isa);
AttentionStep ChooseAddValues(DType numbers, bool latent, Isa isa);
void ChooseSoftmax(Isa isa, AttentionKernels& kernels);
// Kernels of the AVX-512 level for numbers of bf16, by its dot products. Only where isa.cc allows it.
void ChooseBF16Dot(bool latent, AttentionKernels& kernels);

}  // namespace guildhall
