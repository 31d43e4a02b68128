// Whether the base is believed to work follows from the base alone, and heals without anybody asking.
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>

#include "absl/time/clock.h"
#include "engine/base_health.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"
#include "tests/weights/manager_fixture.h"

namespace guildhall {
namespace {

using Result = BaseHealth::Result;
const absl::Time kNow = absl::FromUnixSeconds(1'000'000);
constexpr absl::Duration kInterval = absl::Seconds(5);

AdapterSet Set(uint64_t version) {
  AdapterSet set;
  set.members.push_back({.name = "x", .version = version, .scale = 1.0f, .weights = nullptr});
  return set;
}

uint64_t Faults(const AdapterFaults& faults, uint64_t version) {
  AdapterInfo info;
  info.version = version;
  faults.Tell(info);
  return info.faults;
}

TEST_CASE("base health: three bad rows of the base, and the tries that follow until one is good") {
  BaseHealth health(nullptr, kInterval);
  for (int i = 1; i <= 2; ++i) health.Bad(nullptr, "nan", kNow);
  CHECK(health.healthy());
  CHECK(health.next_check() == absl::InfiniteFuture());
  health.Bad(nullptr, "nan", kNow);
  CHECK_FALSE(health.healthy());
  CHECK(health.next_check() == kNow + kInterval);
  health.Checked(Result::kBad, kNow + kInterval);
  CHECK(health.next_check() == kNow + 2 * kInterval);
  health.Checked(Result::kNoRoom, kNow + 2 * kInterval);
  CHECK_FALSE(health.healthy());
  CHECK(health.next_check() == kNow + 2 * kInterval + kInterval / 5);
  health.Checked(Result::kGood, kNow + 3 * kInterval);
  CHECK(health.healthy());
  CHECK(health.failures() == 0);
  CHECK(health.next_check() == absl::InfiniteFuture());
}

TEST_CASE("base health: an adapter's bad rows have the base tried at once, and are its own if that is good") {
  AdapterFaults faults;
  BaseHealth health(&faults, kInterval);
  const AdapterSet bad = Set(7);
  for (int i = 0; i < 100; ++i) health.Bad(&bad, "nan", kNow);
  CHECK(health.healthy());
  CHECK(health.failures() == 0);
  CHECK(health.next_check() == kNow);
  health.Checked(Result::kGood, kNow);
  CHECK(Faults(faults, 7) == 100);
  health.Bad(&bad, "nan", kNow);  // again: no more tries than one in a while
  CHECK(health.next_check() == kNow + kInterval / 5);
  health.Good();  // a row of anybody tells as much
  CHECK(Faults(faults, 7) == 101);
  CHECK(health.next_check() == absl::InfiniteFuture());
}

TEST_CASE("base health: where the base is bad by itself no adapter is blamed") {
  AdapterFaults faults;
  BaseHealth health(&faults, kInterval);
  const AdapterSet set = Set(7);
  health.Bad(&set, "nan", kNow);
  health.Checked(Result::kBad, kNow);
  CHECK_FALSE(health.healthy());
  health.Bad(&set, "nan", kNow);
  health.Checked(Result::kBad, kNow + kInterval);
  health.Checked(Result::kGood, kNow + 2 * kInterval);
  CHECK(health.healthy());
  CHECK(Faults(faults, 7) == 0);
}

TEST_CASE("base health: three failed steps in a row count, too") {
  BaseHealth health(nullptr, kInterval);
  for (int i = 0; i < 2; ++i) health.StepFailed(kNow);
  health.Good();
  for (int i = 0; i < 2; ++i) health.StepFailed(kNow);
  CHECK(health.healthy());
  health.StepFailed(kNow);
  CHECK_FALSE(health.healthy());
  CHECK(health.failures() == 0);
  CHECK(health.next_check() == kNow + kInterval);
}

EngineOptions QuickOptions() {
  EngineOptions options = SmallOptions();
  options.base_check_interval = absl::Milliseconds(100);
  return options;
}

absl::Status Ask(Engine& engine, std::shared_ptr<const AdapterSet> set = nullptr) {
  auto request = MakeRequest({1, 2, 3}, Greedy(2));
  request->adapters = std::move(set);
  const absl::Status submitted = engine.Submit(request);
  return submitted.ok() ? Collect(*request->stream).end.status : submitted;
}

template <typename Condition>
bool Soon(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

TEST_CASE("A base that gave NaN is tried without any request, and the engine is healthy once it is well") {
  std::atomic<bool> broken{true};
  FakeModel model({.poisons = [&broken](uint64_t) { return broken.load(); }});
  Engine engine(model, QuickOptions(), BaseTask());
  engine.Start();
  for (int i = 0; i < 3; ++i) CHECK(Ask(engine).code() == absl::StatusCode::kInternal);
  CHECK(Soon([&] { return !engine.Status().healthy; }));
  const int64_t steps = model.steps();
  CHECK(Soon([&] { return model.steps() >= steps + 2; }));
  CHECK_FALSE(engine.Status().healthy);
  broken = false;
  CHECK(Soon([&] { return engine.Status().healthy; }));
  CHECK(engine.Status().consecutive_numeric_failures == 0);
  CHECK(engine.Status().kv_blocks_free == 64);
  const int64_t well = model.steps();
  absl::SleepFor(absl::Milliseconds(250));
  CHECK(model.steps() == well);  // nothing is in doubt, nothing is tried
  CHECK(Ask(engine).ok());
}

TEST_CASE(
    "An adapter that overflows is counted and shut off, the base and another adapter stay as they were") {
  ManagerFixture f(uint64_t{64} << 20, {.shut_off_after = 4});
  const auto change = LoraManifest({TinyChange(f.spec, {WeightRole::kQ, 1}, 2)});
  REQUIRE(f.Load("bad", change).ok());
  REQUIRE(f.Load("good", change).ok());
  const auto bad = *f.Acquire("bad");
  FakeModel model({.poisons = [id = bad->id](uint64_t set) { return set == id; }});
  Engine engine(model, QuickOptions(), BaseTask(), f.manager.get());
  engine.Start();
  for (int i = 0; i < 4; ++i) {
    CHECK(Ask(engine, bad).code() == absl::StatusCode::kInternal);
    CHECK(engine.Status().healthy);
  }
  CHECK(Soon([&] { return f.manager->Info("bad")->shut_off; }));
  CHECK(f.manager->Info("bad")->faults == 4);
  CHECK(f.manager->Info("good")->faults == 0);
  const auto refused = f.Acquire("bad");
  CHECK(refused.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Ask(engine).ok());
  CHECK(Ask(engine, *f.Acquire("good")).ok());
  CHECK(engine.Status().healthy);
  CHECK(engine.Status().consecutive_numeric_failures == 0);
  // Another version under the name is another adapter.
  const uint64_t version = f.manager->Info("bad")->version;
  REQUIRE(f.manager->Load({.name = "bad", .open = OpenTiny(f.spec, change, 2), .expected_version = version})
              .ok());
  CHECK_FALSE(f.manager->Info("bad")->shut_off);
  CHECK(Ask(engine, *f.Acquire("bad")).ok());
}

TEST_CASE("A step that hangs is seen while it hangs, and is over when it is over") {
  std::mutex mutex;
  std::condition_variable wake;
  bool held = true;
  FakeModel model({.before_step = [&](int64_t) {
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return !held; });
  }});
  EngineOptions options = SmallOptions();
  options.hung_step = absl::Milliseconds(200);
  Engine engine(model, options, BaseTask());
  engine.Start();
  auto request = MakeRequest({1, 2, 3}, Greedy(2));
  REQUIRE(engine.Submit(request).ok());
  CHECK(Soon([&] { return engine.Status().hung; }));
  CHECK(engine.Status().turn > absl::Milliseconds(200));
  CHECK_FALSE(engine.Status().healthy);
  {
    const std::lock_guard lock(mutex);
    held = false;
  }
  wake.notify_all();
  CHECK(Collect(*request->stream).end.status.ok());
  AwaitIdle(engine);
  CHECK(Soon([&] { return !engine.Status().hung && engine.Status().healthy; }));
}

}  // namespace
}  // namespace guildhall
