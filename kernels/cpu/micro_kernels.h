// The heart of a matrix product at each instruction-set level: one table of functions per level.
//
// A packed matrix (kernels/cpu/packing.h) is a row of groups of up to kMaxGroupPanels panels of 16 output
// columns. A tile is up to kMaxTileRows rows of x times one group. Every output element is one chain of
// multiply-adds over k in ascending order into one accumulator, whatever the height of the tile: so a row's
// bits do not depend on its batch, and a chain may be stored and resumed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/weight_format.h"

namespace guildhall {

inline constexpr int kPanelColumns = 16;
inline constexpr int kMaxGroupPanels = 4;
inline constexpr int kMaxTileRows = 6;
// Floats between the rows of a tile of results, 64-byte aligned.
inline constexpr int kTileStride = kMaxGroupPanels * kPanelColumns;

struct TileArgs {
  const std::byte* w;    // the group from the first k on, 64-byte aligned
  const void* const* x;  // (rows of the tile) pointers to the first k: float, or bf16 where bf16_rows says so
  int64_t k;             // elements to sum; a chain that is resumed later stops after a whole unit
  float* tile;           // (rows, kTileStride) out
  bool resume;           // go on from what is in `tile` instead of from zero
  // Weights to fetch into the caches meanwhile: with every unit of k two lines, at `ahead` and half a step
  // behind it; then `ahead` moves by the step. Never read, so it may point past the end.
  const std::byte* ahead;
  int64_t ahead_step;
};
using TileFunction = void (*)(const TileArgs& args);

// What a machine can do at most; used by benchmarks, never by ops.
struct ProbeFunctions {
  // Reads `bytes` (a multiple of 4096) and returns something that depends on all of them.
  uint64_t (*read)(const std::byte* data, int64_t bytes);
  // Each runs `rounds` rounds on registers and returns how many operations (a multiply and an add count two)
  // that was.
  double (*fp32)(int64_t rounds);
  double (*bf16_dot)(int64_t rounds);  // null where the level has no such instruction
  double (*int8_dot)(int64_t rounds);  // likewise
};

struct MicroKernels {
  Isa isa;
  int group_panels;  // panels of a whole group; even, at most kMaxGroupPanels
  int piece_bytes;   // weights that stay in the first-level cache beside the rest while several tiles pass
                     // over them
  // The kernels of bf16 weights read rows of bf16, padded with a zero to an even length; all others read
  // float.
  bool bf16_rows;
  TileFunction tile[kWeightFormats][kMaxGroupPanels][kMaxTileRows];  // [format][panels - 1][rows - 1]
  void (*to_bf16)(const float* x, int64_t n, uint16_t* y);  // round to nearest even; null without bf16_rows
  ProbeFunctions probe;
};

// The level must be one of SupportedIsas().
const MicroKernels& MicroKernelsOf(Isa isa);

// One per level, each in a file of its own. Only MicroKernelsOf() calls them.
const MicroKernels& PortableMicroKernels();
const MicroKernels& Avx2MicroKernels();
const MicroKernels& Avx512MicroKernels();

}  // namespace guildhall
