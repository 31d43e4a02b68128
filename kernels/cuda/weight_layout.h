// The layout of packed matrices, "cuda/tile64": for the host, which packs, and for kernels.
//
// Outputs go in strips of 64, k in tiles; the tiles of a strip follow each other, so that a block of threads
// reads one ascending stream. The last strip holds 16, 32, 48 or 64 outputs. What is there for no weight is
// zero, or has a scale of zero. Gate and up have strips of the same 64 outputs each, whose tiles alternate:
// gate's first tile, up's first, gate's second, ...
//
// A tile, of `outputs` outputs:
//   f32          32 k: [k][output]
//   bf16, f16    64 k: [output] rows of 128 bytes; the 16-byte chunk c of row o stands at c ^ (o % 8), so
//                that eight rows are read at a time without conflicts of shared memory's banks
//   int8         64 k: [16 outputs][32 k][lane][16 codes], then [16 outputs][o % 8][32 k][o / 8] scales
//   int4         64 k: [16 outputs][lane][32 codes], then scales as int8
//   int4_offset  as int4, with the offsets behind the scales of each o % 8, in their order
// Codes stand as the lanes of mma.m16n8k16 hold its first operand: lane 4 (o % 8) + k % 8 / 2, its register
// (o % 16) / 8 + 2 (k % 16 / 8). kInt8 stores q, kInt4 q + 8, kInt4Offset q; scales and offsets are bf16.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/weight_format.h"

#define GH_BOTH __host__ __device__ constexpr

namespace guildhall::cuda {

inline constexpr int kStripOutputs = 64;
inline constexpr int kFragmentOutputs = 16;

GH_BOTH int64_t DivideUp(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

GH_BOTH bool HasBlocks(WeightFormat format) {
  return format == WeightFormat::kInt8 || format == WeightFormat::kInt4 ||
         format == WeightFormat::kInt4Offset;
}

// Neighbours along k in a tile.
GH_BOTH int TileK(WeightFormat format) {
  return format == WeightFormat::kF32 ? 32 : 64;
}

// Of scales (and offsets) that stand together: both blocks of a tile, of two outputs.
GH_BOTH int ScaleBytes(WeightFormat format) {
  return format == WeightFormat::kInt4Offset ? 16 : 8;
}

// Bytes of codes of 16 outputs of a tile.
GH_BOTH int CodeBytes(WeightFormat format) {
  return format == WeightFormat::kInt8 ? 1024 : 512;
}

// A tile's bytes, a multiple of 16, for one output.
GH_BOTH int TileBytesPerOutput(WeightFormat format) {
  return HasBlocks(format) ? (CodeBytes(format) + 8 * ScaleBytes(format)) / kFragmentOutputs : 128;
}

// Where strips and tiles begin.
struct TileLayout {
  WeightFormat format = WeightFormat::kF32;
  int parts = 1;    // 2: gate and up
  int64_t out = 0;  // of each part
  int64_t in = 0;

  GH_BOTH int64_t strips() const { return DivideUp(out, kStripOutputs); }
  GH_BOTH int64_t tiles() const { return DivideUp(in, TileK(format)); }
  // Outputs that a strip holds of each part, those filled up included.
  GH_BOTH int StripOutputs(int64_t strip) const {
    const int64_t left = DivideUp(out - strip * kStripOutputs, kFragmentOutputs) * kFragmentOutputs;
    return left < kStripOutputs ? static_cast<int>(left) : kStripOutputs;
  }
  GH_BOTH int TileBytes(int64_t strip) const { return StripOutputs(strip) * TileBytesPerOutput(format); }
  GH_BOTH size_t StripOffset(int64_t strip) const {
    return static_cast<size_t>(strip * kStripOutputs * parts * tiles() * TileBytesPerOutput(format));
  }
  GH_BOTH size_t TileOffset(int64_t strip, int64_t tile, int part) const {
    return StripOffset(strip) + static_cast<size_t>((tile * parts + part) * TileBytes(strip));
  }
  GH_BOTH size_t bytes() const {
    const int64_t last = strips() - 1;
    return out == 0 ? 0 : StripOffset(last) + static_cast<size_t>(tiles() * parts * TileBytes(last));
  }
};

// Places in a tile, in bytes: of output o of the strip, k of the tile.
GH_BOTH int PlaceOfF32(int outputs, int o, int k) {
  return (k * outputs + o) * 4;
}
// Of bf16 and f16, in 16-byte chunks of 8 k.
GH_BOTH int PlaceOfChunk(int o, int chunk) {
  return o * 128 + ((chunk ^ (o % 8)) * 16);
}
GH_BOTH int PlaceOfHalf(int o, int k) {
  return PlaceOfChunk(o, k / 8) + k % 8 * 2;
}

GH_BOTH int LaneOfCode(int o, int k) {
  return o % 8 * 4 + k % 8 / 2;
}
// A word holds both halves of 16 outputs: a pair of neighbours along k is two bytes apart.
GH_BOTH int PlaceOfInt8(int o, int k) {
  return o / 16 * CodeBytes(WeightFormat::kInt8) + k / 32 * 512 + LaneOfCode(o, k) * 16 + k % 32 / 8 * 4 +
         o % 16 / 8 + k % 2 * 2;
}
// The byte, and the bit in it, of a code of four bits. A word holds all registers of a k16 step: a pair of
// neighbours along k is 16 bits apart.
GH_BOTH int PlaceOfInt4(int o, int k) {
  return o / 16 * CodeBytes(WeightFormat::kInt4) + LaneOfCode(o, k) * 16 + k / 16 * 4 + k % 2 * 2 +
         k % 16 / 8;
}
GH_BOTH int ShiftOfInt4(int o) {
  return o % 16 / 8 * 4;
}

// Of a block (0, 1) of kQuantBlock neighbours.
GH_BOTH int PlaceOfScale(WeightFormat format, int outputs, int o, int block) {
  return outputs / 16 * CodeBytes(format) + (o / 16 * 8 + o % 8) * ScaleBytes(format) + block * 4 +
         o % 16 / 8 * 2;
}
GH_BOTH int PlaceOfOffset(int outputs, int o, int block) {
  return PlaceOfScale(WeightFormat::kInt4Offset, outputs, o, block) + 8;
}

// B of a low-rank change: [rank][output], without gaps. A x of a change takes `rank` floats.
GH_BOTH size_t LowRankBBytes(int64_t out, int64_t rank, size_t element_bytes) {
  return static_cast<size_t>(out * rank) * element_bytes;
}
GH_BOTH int64_t PlaceInB(int64_t out, int64_t o, int64_t r) {
  return r * out + o;
}

}  // namespace guildhall::cuda

#undef GH_BOTH
