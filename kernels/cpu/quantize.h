// Rounding to integers, block by block: of rows on their way into a product and of weights when they are
// packed. The same bits at every level.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/weight_format.h"

namespace guildhall {

// x as RowBlocks, zeros behind the end: scale = largest magnitude / 127, codes to the nearest, ties to even.
// A block all of whose magnitudes are below kSmallestMagnitude becomes zeros.
void QuantizeRow(const float* x, int64_t width, RowBlock* blocks, Isa isa);

// Below this a block's scale would leave the normal numbers.
inline constexpr float kSmallestMagnitude = 0x1p-100f;

// One block of each column of a panel. value ~ scale * (code - bias) + offset, where the bias is 128 for
// kInt8, 8 for kInt4 and 0 for kInt4Offset.
struct PanelBlock {
  uint16_t scale[kPanelColumns];   // bf16
  uint16_t offset[kPanelColumns];  // bf16; zeros except for kInt4Offset
  uint8_t code[kQuantBlock][kPanelColumns];
};

// `w`: (kQuantBlock, kPanelColumns), of which the first `count` rows are there; the codes of the others stand
// for zero. kInt8 rounds by the largest magnitude; the others take the best, by squared error, of a few
// scales (and offsets), each refined by least squares. A column with a NaN or an infinity: scale NaN, codes
// for zero.
void QuantizePanelBlock(const float* w, int64_t count, WeightFormat format, Isa isa, PanelBlock& block);

}  // namespace guildhall
