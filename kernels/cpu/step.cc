#include "kernels/cpu/step.h"

#include <algorithm>
#include <span>

#include "kernels/cpu/low_rank.h"
#include "kernels/step_rows.h"

namespace guildhall {
namespace {

RowSets SetsOf(std::span<const SetTable> tables, std::span<const int32_t> set,
               const std::vector<RowSegment>& segments) {
  return {.tables = tables.data(),
          .set = set.data(),
          .segments = segments.data(),
          .segment_count = static_cast<int64_t>(segments.size())};
}

}  // namespace

void CpuStep::Prepare(const StepLimits& limits) {
  const auto rows = static_cast<size_t>(limits.max_rows);
  logit_set_.reserve(rows);
  row_segments_.reserve(rows);
  logit_segments_.reserve(rows);
  plans_.resize(kPlans);
  for (AttentionPlan& plan : plans_) plan.ranges.reserve(rows);
}

const StepData& CpuStep::Begin(const StepInputs& inputs) {
  CheckStepInputs(inputs);
  planned_ = 0;
  data_ = {.rows = static_cast<int64_t>(inputs.positions.size()),
           .logits = static_cast<int64_t>(inputs.logit_rows.size()),
           .hiddens = static_cast<int64_t>(inputs.hidden_rows.size()),
           .max_blocks = inputs.max_blocks,
           .tokens = inputs.tokens.data(),
           .positions = inputs.positions.data(),
           .sequence = inputs.sequence.data(),
           .kv_place = inputs.kv_place.data(),
           .block_table = inputs.block_table.data(),
           .logit_rows = inputs.logit_rows.data(),
           .hidden_rows = inputs.hidden_rows.data(),
           .row_sets = {},
           .logit_sets = {}};
  if (inputs.sets.empty()) return data_;
  logit_set_.clear();
  for (const int32_t row : inputs.logit_rows) logit_set_.push_back(inputs.set[static_cast<size_t>(row)]);
  CutSegments(inputs.set, kShrinkRows, row_segments_);
  CutSegments(logit_set_, kShrinkRows, logit_segments_);
  data_.row_sets = SetsOf(inputs.sets, inputs.set, row_segments_);
  data_.logit_sets = SetsOf(inputs.sets, logit_set_, logit_segments_);
  return data_;
}

const AttentionPlan& CpuStep::Attention(const AttentionKind& kind, size_t states, int threads) {
  const auto end = plans_.begin() + static_cast<std::ptrdiff_t>(std::min(planned_, kPlans));
  const auto known =
      std::find_if(plans_.begin(), end, [&](const AttentionPlan& p) { return p.kind == kind; });
  if (known != end) return *known;
  AttentionPlan& plan = plans_[planned_++ % kPlans];
  PlanAttention(data_, kind, states, threads, plan);
  return plan;
}

}  // namespace guildhall
