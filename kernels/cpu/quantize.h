// Rounding to integers, block by block: of rows on their way into a product and of weights when they are
// packed. The same bits at every level.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/quantize.h"
#include "kernels/weight_format.h"

namespace guildhall {

// x as RowBlocks, zeros behind the end: scale = largest magnitude / 127, codes to the nearest, ties to even.
// A block all of whose magnitudes are below kSmallestMagnitude becomes zeros.
void QuantizeRow(const float* x, int64_t width, RowBlock* blocks, Isa isa);

// Below this a block's scale would leave the normal numbers.
inline constexpr float kSmallestMagnitude = 0x1p-100f;

// QuantizePanelBlock() of kernels/quantize.h by the instructions of one level.
void QuantizePanelBlock(const float* w, int64_t count, WeightFormat format, Isa isa, PanelBlock& block);

}  // namespace guildhall
