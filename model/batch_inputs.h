// From a batch to what the back end takes at a step's begin.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/step_data.h"
#include "model/batch.h"

namespace guildhall {

// Owns the arrays that a batch does not have in that form; all memory is taken in the constructor. Engine
// thread only.
class BatchInputs {
 public:
  BatchInputs(int64_t max_rows, int64_t max_outputs);

  // Valid until the next call, as long as the batch's own arrays.
  StepInputs Of(const Batch& batch);

 private:
  std::vector<int32_t> logit_rows_, hidden_rows_;  // (outputs)
  std::vector<SetTable> sets_;                     // no more than rows: every set has one
};

}  // namespace guildhall
