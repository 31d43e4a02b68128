// What happens to a tile of finished sums on its way to memory, and the element-wise ends of an FFN.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {

// y = epilogue(tile + bias) for the first `columns` columns; the order is that of MatMulArgs.
struct StoreArgs {
  const float* tile;  // (rows, kTileStride)
  const float* bias;  // (columns) or null
  float* const* y;    // (rows) pointers to the group's first column
  int rows, columns;
  float clip;
  bool sigmoid, accumulate;
};
void StoreTile(const StoreArgs& args, Isa isa);

// h = silu(gate + gate_bias) * (up + up_bias), where the tile holds panels of gate and up in turn.
struct SwiGluArgs {
  const float* tile;       // (rows, kTileStride)
  const float* gate_bias;  // (columns) or null
  const float* up_bias;    // (columns) or null
  float* h;                // (rows, h_stride)
  int64_t h_stride;
  int rows, columns;  // columns of h: at most half of the tile's
};
void StoreSwiGlu(const SwiGluArgs& args, Isa isa);

// y[i] += sum over j ascending of weight[j] * parts[j * part_stride + i], over the j that are there; weight
// null: all 1.
struct WeighedSumArgs {
  const float* parts;
  int64_t part_stride;
  const int32_t* part;  // (count) < 0: not there; null: all are
  const float* weight;  // (count) or null
  int64_t count;
  float* y;  // (width)
  int64_t width;
};
void AddWeighedSum(const WeighedSumArgs& args, Isa isa);

}  // namespace guildhall
