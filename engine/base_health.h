// What the engine believes of the base model, and whom it blames for numbers that are not finite.
#pragma once

#include <string_view>

#include "absl/time/time.h"
#include "weights/adapter_faults.h"

namespace guildhall {

// The base is unhealthy after three bad rows or failed steps with nothing good between, or once a step of its
// own has had a bad result; until any row is good. That of a set counts, too: it is the base's with something
// added. A bad row of a set says nothing of the base, which is then tried alone. Engine thread only.
class BaseHealth {
 public:
  static constexpr int kUnhealthyAfter = 3;

  // `faults`: null where no request has adapters. `interval`: between tries of an unhealthy base.
  BaseHealth(AdapterFaults* faults, absl::Duration interval) : faults_(faults), interval_(interval) {}

  // A row had finite numbers.
  void Good() {
    if (failures_ + failed_steps_ > 0 || suspects_) Recovered();
  }
  // A row had not; `set` null: of the base. `told` is what its request is told.
  void Bad(const AdapterSet* set, std::string_view told, absl::Time now);
  // The device failed in a step.
  void StepFailed(absl::Time now);

  // When the base is to be tried by a step of its own; InfiniteFuture: it need not be.
  absl::Time next_check() const { return next_check_; }
  enum class Result { kGood, kBad, kNoRoom };
  void Checked(Result result, absl::Time now);

  int failures() const { return failures_; }  // bad rows of the base in a row
  bool healthy() const { return failures_ < kUnhealthyAfter && failed_steps_ < kUnhealthyAfter; }

 private:
  void Recovered();
  void CheckBy(absl::Time time);
  // Nobody waits for the result of a try because of adapters' faults: they cost at most a step in this time.
  absl::Duration pause() const { return interval_ / 5; }

  AdapterFaults* const faults_;
  const absl::Duration interval_;
  int failures_ = 0, failed_steps_ = 0;
  bool suspects_ = false;  // adapters that have failed since the base was last seen to be good
  absl::Time last_check_ = absl::InfinitePast();
  absl::Time next_check_ = absl::InfiniteFuture();
};

}  // namespace guildhall
