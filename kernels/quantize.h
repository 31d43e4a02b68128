// Weights rounded to the quantized formats, block by block, on their way into a packed matrix: every back end
// packs the same codes and scales.
#pragma once

#include <cstdint>

#include "kernels/panel.h"
#include "kernels/weight_format.h"

namespace guildhall {

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
// for zero. By any thread; the same bits on every CPU.
void QuantizePanelBlock(const float* w, int64_t count, WeightFormat format, PanelBlock& block);

}  // namespace guildhall
