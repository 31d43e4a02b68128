#include "config/step_target.h"

#include <charconv>
#include <string>

#include "base/json.h"
#include "base/str_cat.h"

namespace guildhall {

absl::StatusOr<StepTarget> ParseStepTarget(std::string_view text) {
  if (text == "auto") return StepTarget{.mode = StepCost::Mode::kAuto};
  if (text == "none") return StepTarget{};
  double ms = 0.0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, ms);
  if (parsed.ec == std::errc() && parsed.ptr == end && ms >= 0.1 && ms <= 60000.0) {
    return StepTarget{.mode = StepCost::Mode::kTarget, .target = absl::Milliseconds(ms)};
  }
  return absl::InvalidArgumentError(
      StrCat("engine.target_step_ms: expected \"auto\", \"none\" or milliseconds from 0.1 to 60000, found ",
             DumpJson(Json(std::string(text.substr(0, 80))))));
}

}  // namespace guildhall
