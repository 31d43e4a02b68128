#include "engine/base_health.h"

#include <algorithm>

namespace guildhall {

void BaseHealth::CheckBy(absl::Time time) {
  next_check_ = std::min(next_check_, time);
}

void BaseHealth::Recovered() {
  failures_ = failed_steps_ = 0;
  if (suspects_) faults_->Confirm();
  suspects_ = false;
  next_check_ = absl::InfiniteFuture();
}

void BaseHealth::Bad(const AdapterSet* set, std::string_view told, absl::Time now) {
  if (set == nullptr || faults_ == nullptr) {
    ++failures_;
    if (!healthy()) CheckBy(now + interval_);
    return;
  }
  faults_->Suspect(*set, told);
  suspects_ = true;
  CheckBy(std::max(now, last_check_ + pause()));
}

void BaseHealth::StepFailed(absl::Time now) {
  ++failed_steps_;
  if (!healthy()) CheckBy(now + interval_);
}

void BaseHealth::Checked(Result result, absl::Time now) {
  last_check_ = now;
  next_check_ = absl::InfiniteFuture();
  switch (result) {
    case Result::kGood:
      return Recovered();
    case Result::kNoRoom:  // whoever has it tells as much
      return CheckBy(now + pause());
    case Result::kBad:
      failures_ = std::max(failures_ + 1, kUnhealthyAfter);
      if (suspects_) faults_->Dismiss();
      suspects_ = false;
      return CheckBy(now + interval_);
  }
}

}  // namespace guildhall
