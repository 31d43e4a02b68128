#include "kernels/step_rows.h"

#include <cstddef>

#include "base/check.h"
#include "kernels/kv_shape.h"

namespace guildhall {

void CheckStepInputs(const StepInputs& inputs) {
  const size_t rows = inputs.positions.size();
  GH_CHECK_EQ(inputs.sequence.size(), rows);
  GH_CHECK_EQ(inputs.kv_place.size(), rows);
  if (!inputs.tokens.empty()) GH_CHECK_EQ(inputs.tokens.size(), rows);
  if (!inputs.sets.empty()) GH_CHECK_EQ(inputs.set.size(), rows);
  for (size_t row = 0; row < rows; ++row) {
    if (inputs.kv_place[row] < 0) continue;
    GH_CHECK_GE(inputs.positions[row], 0);
    GH_CHECK_LT(inputs.positions[row] / kKvBlockTokens, inputs.max_blocks);
    if (row > 0 && inputs.sequence[row] == inputs.sequence[row - 1] && inputs.kv_place[row - 1] >= 0) {
      GH_CHECK_GT(inputs.positions[row], inputs.positions[row - 1]);
    }
  }
}

void CutSegments(std::span<const int32_t> set, int64_t most, std::vector<RowSegment>& segments) {
  segments.clear();
  const auto rows = static_cast<int64_t>(set.size());
  for (int64_t begin = 0; begin < rows;) {
    const int32_t key = set[static_cast<size_t>(begin)];
    int64_t end = begin + 1;
    while (end < rows && end - begin < most && set[static_cast<size_t>(end)] == key) ++end;
    if (key >= 0) segments.push_back({static_cast<int32_t>(begin), static_cast<int32_t>(end), key});
    begin = end;
  }
}

}  // namespace guildhall
