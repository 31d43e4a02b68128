// What back ends do alike with the rows of a step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/step_data.h"

namespace guildhall {

// CHECKs that the arrays fit each other and that rows of a sequence ascend.
void CheckStepInputs(const StepInputs& inputs);

// Runs of rows of one set, at most `most` each, without base rows.
void CutSegments(std::span<const int32_t> set, int64_t most, std::vector<RowSegment>& segments);

}  // namespace guildhall
