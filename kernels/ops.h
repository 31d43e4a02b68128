// The arguments of every op: plain data whose pointers are the device's, one op = one call on a whole batch.
//
// Shapes stand beside the fields, `rows` first; all activations are float, row-major, with a stride in
// elements where rows need not touch. Outputs never alias inputs unless the comment says so. Rows are
// independent: a row's result has one order of summation that depends on that row alone (bit invariance).
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/gate_spec.h"
#include "kernels/kv_shape.h"
#include "kernels/low_rank.h"
#include "kernels/matrix.h"
#include "kernels/step_data.h"

namespace guildhall {

struct EmbedArgs {
  const int32_t* tokens;  // (rows), each in [0, vocabulary)
  const void* table;      // (vocabulary, hidden) of `dtype`, row-major, unpacked
  DType dtype;
  float* y;  // (rows, hidden)
  int64_t rows, hidden;
  // y += scale * B a[token]; `a` of the change is unpacked here: (vocabulary, rank) of its dtype, row-major.
  LowRankRows low_rank = {};
};

// y = x / sqrt(mean(x^2) + eps) * weight, over each of `groups` neighbouring vectors of a row (heads), fp32.
struct RmsNormArgs {
  const float* x;       // (rows, groups, width)
  const float* weight;  // (width), shared by the groups
  float* y;             // (rows, groups, width); may be x
  int64_t rows, groups, width;
  int64_t x_stride, y_stride;  // elements between rows
  float eps;
  float clip = 0.0f;  // > 0: the result clamped to [-clip, clip]
};

// y = epilogue(x W^T). The epilogue's order: low-rank changes, + bias, clip, sigmoid, + y.
struct MatMulArgs {
  const float* x;               // (rows, in)
  Matrix w;                     // (out, in)
  const float* bias = nullptr;  // (out) or null
  float* y;                     // (rows, out)
  int64_t rows;
  int64_t x_stride, y_stride;
  float clip = 0.0f;        // > 0: clamp to [-clip, clip]
  bool sigmoid = false;     // 1 / (1 + exp(-v))
  bool accumulate = false;  // y += instead of y =
  LowRankRows low_rank = {};
};

// One small product per head: y[row, head] = W[head] x[row, head] (latent attention's absorbed projections).
struct HeadMatMulArgs {
  const float* x;  // (rows, heads, in)
  HeadMatrices w;  // (heads) of (out, in)
  float* y;        // (rows, heads, out)
  int64_t rows;
  int64_t x_stride, x_head_stride;
  int64_t y_stride, y_head_stride;
  LowRankRows low_rank = {};  // workspace (rows, heads, stride)
};

// Rotates the first `rotary` elements of every head by the row's angles, in place or to another place.
struct RopeArgs {
  float* x;  // (rows, heads, head_stride apart)
  int64_t rows, heads, rotary;
  int64_t x_stride, head_stride;
  const int32_t* position;  // (rows)
  const float* cos;         // (positions, rotary / 2), the attention factor multiplied in
  const float* sin;         // (positions, rotary / 2)
  bool interleaved;         // pairs (2i, 2i+1), result in the same places; else (i, i + rotary/2)
  float* y = nullptr;       // (rows, heads, rotary) at its own strides; null: in place
  int64_t y_stride = 0, y_head_stride = 0;
};

// Writes the rows' keys and values to their places in one layer's cache.
struct AppendKvArgs {
  KvShape shape;
  void* cache;           // the first block
  int64_t block_stride;  // bytes from block to block, at least KvBlockBytes(shape)
  const float* k;        // (rows, kv_heads, key_dim)
  const float* v;        // (rows, kv_heads, value_dim); null when value_in_key
  int64_t rows, k_stride, v_stride;
  const int64_t* kv_place;  // (rows) block id * kKvBlockTokens + offset; < 0: the row takes no part
};

// softmax(scale * q k^T) v over the row's own sequence, keys 0..position, or the last `window` of them with
// the row's own. The keys of the batch's rows have been appended before. Key blocks are visited in absolute
// order.
struct AttentionArgs {
  const StepData* step;  // the running one: positions, sequences, block tables of all of its rows
  KvShape shape;
  const void* cache;     // the first block
  int64_t block_stride;  // bytes from block to block
  const float* q;  // (rows, heads, key_dim); heads is a multiple of kv_heads, those of a group are neighbours
  float* y;        // (rows, heads, value_dim)
  int64_t heads;
  int64_t q_stride, y_stride;
  float scale;
  int window = 0;  // 0: all keys; w: keys position-w+1 .. position
};

// Score, select, weigh, reroute and group in one op.
struct RouteArgs {
  const float* x;                         // (rows, hidden) normed
  Matrix w;                               // (experts, hidden), F32
  const float* selection_bias = nullptr;  // (experts) or null
  GateSpec gate;
  // Rerouting: logical expert -> slot by the row's set. No sets, a null map, or a base row: the identity.
  RowSets sets = {};
  int32_t expert_map = -1;            // which of a set's maps
  const int64_t* kv_place = nullptr;  // (rows) < 0: the row takes no part; null: all do
  int64_t rows, x_stride;
  int64_t slots;  // physical experts, >= experts
  // At most k choices: what a row does not have, or what its map sends nowhere, has slot -1 and weight 0.
  int32_t* expert;  // (rows, k) out: logical experts in the order of selection; -1: no choice
  int32_t* slot;    // (rows, k) out
  float* weight;    // (rows, k) out
  // Entries row * k + j that have a slot, ordered by slot; within a slot ascending. Slot s owns
  // [group_begin[s], group_begin[s + 1]).
  int32_t* group_begin;  // (slots + 1) out
  int32_t* group_entry;  // (rows * k) out
};

// Groups rows by the one slot that their set's map names, as Route groups entries of k = 1.
struct GroupBySetArgs {
  RowSets sets;
  int32_t expert_map;                 // which of a set's maps, each (1); base rows and null maps: slot 0
  const int64_t* kv_place = nullptr;  // as RouteArgs
  int64_t rows, slots;
  int32_t* slot;         // (rows) out
  int32_t* group_begin;  // (slots + 1) out
  int32_t* group_entry;  // (rows) out
};

// y[row] += sum over j (in the order of selection) of weight[row, j] * FFN_{slot[row, j]}(x[row]), over the j
// that have a slot. Exact group sizes.
struct ExpertFfnArgs {
  const float* x;                 // (rows, hidden)
  const FfnWeights* table;        // (slots)
  const int32_t* slot = nullptr;  // (rows, k); null: every entry has one
  const int32_t* group_begin;     // (slots + 1)
  const int32_t* group_entry;     // (rows * k)
  const float* weight;            // (rows, k); null: all 1
  float* y;                       // (rows, hidden), accumulated
  int64_t rows, k, slots, hidden, width;
  int64_t x_stride, y_stride;
  // Changes by the row's set and the entry's logical expert; workspace (rows * k, stride), of both in turn.
  LowRankRows gate_up_low_rank = {}, down_low_rank = {};
  const int32_t* expert = nullptr;  // (rows, k) logical experts; only read with low rank; null: all 0
};

// One FFN for all rows: a dense layer or a shared expert. y[row] += weight[row] * FFN(x[row]).
struct FfnArgs {
  const float* x;  // (rows, hidden)
  FfnWeights w;
  const float* weight = nullptr;  // (rows) or null: 1
  float* y;                       // (rows, hidden), accumulated
  int64_t rows, hidden, width;
  int64_t x_stride, y_stride;
  LowRankRows gate_up_low_rank = {}, down_low_rank = {};
};

// y[i] = x[row[i]].
struct GatherRowsArgs {
  const float* x;      // (any, width)
  const int32_t* row;  // (rows)
  float* y;            // (rows, width)
  int64_t rows, width;
};

}  // namespace guildhall
