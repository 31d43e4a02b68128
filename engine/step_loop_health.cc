// What the loop does about a base or a device that does not give what it should.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "engine/step_loop.h"

namespace guildhall {

// What is not in doubt is not asked. The step is nobody's: it counts for no one and waits for no one.
void StepLoop::CheckBase() {
  if (counters_.device_lost) return;
  if (now_ >= health_.next_check()) {
    entries_.clear();
    const auto result = check_.Run(model_, blocks_, builder_);
    if (!result.ok()) EndStep(result.status());
    health_.Checked(result.value_or(BaseHealth::Result::kBad), absl::Now());
    if (result.ok() && *result == BaseHealth::Result::kBad) {
      Log().error(
          "the base model gives numbers that are not finite in a step of its own: the server is not ready");
    }
  }
  next_timer_ = std::min(next_timer_, health_.next_check());
}

// Nobody in the step has a result, and their keys are lost. A device that is lost serves nobody any more: the
// next turn ends them all. Weights that are lost are found so by each step, and it is said once.
void StepLoop::EndStep(const absl::Status& failure) {
  const bool lost = absl::IsDataLoss(failure), said = lost && std::exchange(counters_.weights_lost, true);
  if (!said) Log().error("a step failed: {}", std::string(failure.message()));
  counters_.device_lost = absl::IsUnavailable(failure);
  if (counters_.device_lost) return queue_->LoseDevice();
  health_.StepFailed(absl::Now());
  const char* what = lost ? "the weights' file cannot be read; the server's log names it"
                          : "the device failed in the step that this request was in";
  for (const BatchEntry& entry : entries_)
    entry.sequence->End(FinishReason::kError, absl::StatusCode::kInternal, what, absl::Now());
}

}  // namespace guildhall
