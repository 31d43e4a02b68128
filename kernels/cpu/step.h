// The CPU's side of a step: its arrays are the host's own, and what its ops share is planned once.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/attention_plan.h"

namespace guildhall {

// Of the engine thread. After Prepare() it allocates nothing for steps within the limits.
class CpuStep {
 public:
  void Prepare(const StepLimits& limits);

  const StepData& Begin(const StepInputs& inputs);
  const StepData& data() const { return data_; }

  // The running step's plan for layers of that kind; made by the first of them.
  const AttentionPlan& Attention(const AttentionKind& kind, size_t states, int threads);

 private:
  StepData data_;
  std::vector<int32_t> logit_set_;  // (logits)
  std::vector<RowSegment> row_segments_, logit_segments_;
  // Plans of this step; more than a model has kinds of layers, so that none is made twice.
  static constexpr size_t kPlans = 4;
  std::vector<AttentionPlan> plans_;
  size_t planned_ = 0;
};

}  // namespace guildhall
