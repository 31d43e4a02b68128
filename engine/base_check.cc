#include "engine/base_check.h"

#include <algorithm>
#include <memory>
#include <span>

#include "base/status.h"
#include "engine/sampler.h"
#include "kernels/ops.h"

namespace guildhall {

BaseCheck::BaseCheck(const LanguageModel& model, int64_t most_rows) {
  const int64_t rows =
      std::min({int64_t{8}, most_rows, int64_t{kKvBlockTokens}, model.max_positions(), model.vocabulary()});
  auto request = std::make_shared<Request>();
  request->sampling.max_tokens = 1;
  for (int64_t i = 0; i < rows; ++i) {
    request->prompt.push_back(static_cast<int32_t>(i * model.vocabulary() / rows));
  }
  sequence_.tokens = request->prompt;
  sequence_.prompt_tokens = static_cast<int32_t>(rows);
  sequence_.request = std::move(request);
  sequence_.blocks.reserve(1);
}

absl::StatusOr<BaseHealth::Result> BaseCheck::Run(LanguageModel& model, SequenceBlocks& blocks,
                                                  BatchBuilder& builder) {
  BatchEntry entry{.sequence = &sequence_, .rows = sequence_.prompt_tokens};
  blocks.Provide({&entry, 1});
  if (blocks.Allocate(entry) != SequenceBlocks::Given::kRows) return BaseHealth::Result::kNoRoom;
  const absl::StatusOr<StepOutput> output = RunStep(model, builder.Build({&entry, 1}));
  blocks.Release(sequence_);
  GH_RETURN_IF_ERROR(output.status());
  return CheckFinite(output->logits).ok() ? BaseHealth::Result::kGood : BaseHealth::Result::kBad;
}

}  // namespace guildhall
