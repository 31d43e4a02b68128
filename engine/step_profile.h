// Where the engine thread's time goes, phase by phase of its steps.
#pragma once

#include <array>
#include <cstdint>

#include "base/profile.h"
#include "base/trace.h"

namespace guildhall {

// Used by the engine thread; read when that has stopped. An engine without one measures nothing.
class StepProfile {
 public:
  // The order of a step. Steps without rows have no kBuild, kForward and kPublish.
  enum class Phase { kAdmit, kSchedule, kBuild, kForward, kPublish, kFinish };
  static constexpr int kPhases = 6;

  // `trace`: null, or one that outlives this; the phases are spans of its track 0.
  explicit StepProfile(Trace* trace);

  void Begin();            // of a step
  void Done(Phase phase);  // all since Begin() or the phase before

  const Profile& phases() const { return phases_; }

 private:
  struct Place {
    int profile;
    int trace;
  };

  Trace* const trace_;
  Profile phases_;
  std::array<Place, kPhases> places_;
  int64_t since_ns_ = 0;
};

}  // namespace guildhall
