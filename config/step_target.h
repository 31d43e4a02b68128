// engine.target_step_ms: how long a step may make decoding sequences wait for prompts.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/step_cost.h"

namespace guildhall {

struct StepTarget {
  StepCost::Mode mode = StepCost::Mode::kUnbounded;
  absl::Duration target = absl::ZeroDuration();  // of kTarget
};

// "auto", "none", or milliseconds from 0.1 to 60000. INVALID_ARGUMENT quotes the text and shows the forms.
absl::StatusOr<StepTarget> ParseStepTarget(std::string_view text);

}  // namespace guildhall
