#include "engine/step_profile.h"

#include "base/steady_clock.h"

namespace guildhall {
namespace {

constexpr const char* kNames[StepProfile::kPhases] = {"admit",   "schedule", "build batch",
                                                      "forward", "publish",  "finish"};

}  // namespace

StepProfile::StepProfile(Trace* trace) : trace_(trace) {
  for (size_t i = 0; i < places_.size(); ++i)
    places_[i] = {phases_.Name(kNames[i]), trace == nullptr ? 0 : trace->Name(kNames[i])};
}

void StepProfile::Begin() {
  since_ns_ = SteadyNs();
}

void StepProfile::Done(Phase phase) {
  const Place place = places_[static_cast<size_t>(phase)];
  const int64_t now = SteadyNs();
  ProfileEntry& entry = phases_[place.profile];
  ++entry.calls;
  entry.ns += now - since_ns_;
  if (trace_ != nullptr) trace_->Add(0, place.trace, since_ns_, now);
  since_ns_ = now;
}

}  // namespace guildhall
