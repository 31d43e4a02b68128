#include "engine/step_profile.h"

#include <catch2/catch.hpp>
#include <map>

#include "base/steady_clock.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

// One request of 20 tokens, 20 steps with rows.
Answer RunOne(StepProfile* profile) {
  FakeModel model;
  EngineOptions options = SmallOptions();
  options.profile = profile;
  Engine engine(model, options, BaseTask());
  engine.Start();
  auto request = MakeRequest({3, 1, 4, 1, 5}, Greedy(20));
  REQUIRE(engine.Submit(request).ok());
  Answer answer = Collect(*request->stream);
  engine.Stop();
  return answer;
}

}  // namespace

TEST_CASE("the phases of a step are counted, and their times lie within the engine's") {
  Trace trace(1);
  StepProfile profile(&trace);
  const int64_t begin = SteadyNs();
  const Answer measured = RunOne(&profile);
  const int64_t wall = SteadyNs() - begin;
  std::map<std::string, int64_t> calls;
  for (const ProfileEntry& entry : profile.phases().entries()) calls[entry.name] = entry.calls;
  CHECK(calls.size() == static_cast<size_t>(StepProfile::kPhases));
  for (const char* phase : {"build batch", "forward", "publish"}) CHECK(calls[phase] == 20);
  // Turns without rows have these, too.
  for (const char* phase : {"admit", "schedule", "finish"}) CHECK(calls[phase] >= 20);
  CHECK(profile.phases().TotalNs() > 0);
  CHECK(profile.phases().TotalNs() <= wall);
  int64_t spans = 0;
  for (const auto& [name, count] : calls) spans += count;
  CHECK(trace.events() == static_cast<size_t>(spans));
  CHECK(RunOne(nullptr).tokens == measured.tokens);
}

}  // namespace guildhall
