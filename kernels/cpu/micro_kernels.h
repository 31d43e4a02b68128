// The heart of a matrix product at each instruction-set level: one table of functions per level.
//
// A packed matrix (kernels/cpu/packing.h) is a row of groups of up to kMaxGroupPanels panels of 16 output
// columns. A tile is up to kMaxTileRows rows of x times one group. Every output element is one chain of
// multiply-adds over k in ascending order into one accumulator, whatever the height of the tile: so a row's
// bits do not depend on its batch, and a chain may be stored and resumed.
//
// With quantized weights a link of the chain is a whole block of kQuantBlock elements: the exact sum of its
// products of integers, times (scale of the weights * scale of the row's block), added with one rounding;
// with offsets another link adds offset * (scale of the row's block * sum of its codes). All levels do just
// that, so their results are the same to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/panel.h"
#include "kernels/weight_format.h"

namespace guildhall {

inline constexpr int kMaxGroupPanels = 4;
inline constexpr int kMaxTileRows = 6;
// Of quantized formats at every level, so that their packed bytes are the same everywhere.
inline constexpr int kQuantizedGroupPanels = 2;
// Floats between the rows of a tile of results, 64-byte aligned.
inline constexpr int kTileStride = kMaxGroupPanels * kPanelColumns;

// What rows of x are made of for the kernels of a weight format.
enum class RowFormat {
  kFloat,
  kBF16,  // padded with a zero to an even length
  kInt8,  // RowBlocks
};
inline constexpr int kRowFormats = 3;

// kQuantBlock neighbours of a row: scale * q; zeros stand behind the row's end. A block with a NaN or an
// infinity has the scale NaN.
struct RowBlock {
  float scale;
  int32_t sum;  // of the codes
  int8_t q[kQuantBlock];
};
static_assert(sizeof(RowBlock) == 40);

struct TileArgs {
  const std::byte* w;    // the group from the first k on; 64-byte aligned, of quantized formats 32
  const void* const* x;  // (rows of the tile) pointers to the first k, in the row format of the weights'
  int64_t k;             // elements to sum; a chain that is resumed later stops after a whole unit
  float* tile;           // (rows, kTileStride) out
  bool resume;           // go on from what is in `tile` instead of from zero
  // Weights to fetch into the caches meanwhile: with every unit of k all lines of the step at `ahead`, which
  // is at most a unit rounded up to whole lines; then `ahead` moves by the step. Never read, so it may point
  // past the end. All lines, on every CPU: with every second one Zen 5 is as fast, Zen 3 and 4 lose a third
  // (docs/performance.md). The portable tiles, which no memory is too slow for, fetch nothing.
  const std::byte* ahead;
  int64_t ahead_step;
};
using TileFunction = void (*)(const TileArgs& args);

struct MicroKernels {
  Isa isa;
  // Panels of a whole group: 2 or 4; kQuantizedGroupPanels for quantized formats.
  int group_panels[kWeightFormats];
  int piece_bytes;  // weights that stay in the first-level cache beside the rest while several tiles pass
                    // over them
  RowFormat row_format[kWeightFormats];
  TileFunction tile[kWeightFormats][kMaxGroupPanels][kMaxTileRows];  // [format][panels - 1][rows - 1]
  // Round to nearest even; null where no format has rows of bf16.
  void (*to_bf16)(const float* x, int64_t n, uint16_t* y);
};

// The level must be one of SupportedIsas().
const MicroKernels& MicroKernelsOf(Isa isa);

// One per level, each in a file of its own. Only MicroKernelsOf() calls them.
const MicroKernels& PortableMicroKernels();
const MicroKernels& Avx2MicroKernels();
const MicroKernels& Avx512MicroKernels();

// The tiles of the quantized formats, in files beside the others. Only the functions above call them.
void AddPortableIntegerTiles(MicroKernels& kernels);
void AddAvx2IntegerTiles(MicroKernels& kernels);
void AddAvx512IntegerTiles(MicroKernels& kernels);

}  // namespace guildhall
