// What goes wrong with one request or one step stays there.
#include <atomic>
#include <catch2/catch.hpp>
#include <stdexcept>

#include "absl/time/clock.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"
#include "tests/support/allocation_hook.h"

namespace guildhall {
namespace {

// Allocations of the engine thread fail when their number is up. Armed by the model's hook, so that the
// thread is known.
thread_local bool on_engine_thread = false;
std::atomic<int64_t> failing_allocation{0};  // counts down; 0: off

bool AllocationFails() {
  if (!on_engine_thread || failing_allocation.load() == 0) return false;
  return failing_allocation.fetch_sub(1) == 1;
}

TEST_CASE("NaN logits end their own request with INTERNAL and no other") {
  FakeModel model({.poison = 60});
  Engine engine(model, SmallOptions(), BaseTask());
  auto good = MakeRequest({1, 2, 3}, Greedy(10));
  good->sampling.logit_bias = {
      {60, -std::numeric_limits<float>::infinity()}};  // must not choose it by itself
  auto bad = MakeRequest({1, 2, 60}, Greedy(10));
  auto scored = MakeRequest({1, 60, 2}, Greedy(0));
  scored->sampling.prompt_logprobs = true;
  for (const auto& request : {good, bad, scored}) REQUIRE(engine.Submit(request).ok());
  engine.Start();
  CHECK(Collect(*good->stream).tokens == SoloTokens(*good, 61));
  for (const auto& request : {bad, scored}) {
    const Answer answer = Collect(*request->stream);
    CHECK(answer.end.reason == FinishReason::kError);
    CHECK(answer.end.status.code() == absl::StatusCode::kInternal);
    CHECK(answer.tokens.empty());
  }
  CHECK(engine.Status().healthy);
}

TEST_CASE("Repeated NaN makes the engine unhealthy, a good row makes it healthy again") {
  FakeModel model({.poison = 60});
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  for (int i = 1; i <= 3; ++i) {
    auto bad = MakeRequest({60}, Greedy(1));
    REQUIRE(engine.Submit(bad).ok());
    Collect(*bad->stream);
    CHECK(engine.Status().consecutive_numeric_failures == i);
    CHECK(engine.Status().healthy == (i < 3));
  }
  auto good = MakeRequest({1}, Greedy(1));
  REQUIRE(engine.Submit(good).ok());
  Collect(*good->stream);
  CHECK(engine.Status().healthy);
  CHECK(engine.Status().consecutive_numeric_failures == 0);
}

TEST_CASE("Weights that are lost end the requests of each step, and the engine is not healthy any more") {
  std::atomic<bool> lost{false};
  FakeModel model({.fail_step = [&lost](int64_t) -> absl::Status {
    return lost ? absl::DataLossError("/models/weights.packed: the file was cut") : absl::OkStatus();
  }});
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  const auto ask = [&engine] {
    auto request = MakeRequest({1, 2, 3}, Greedy(4));
    REQUIRE(engine.Submit(request).ok());
    return Collect(*request->stream).end.status;
  };
  CHECK(ask().ok());
  CHECK(engine.Status().healthy);
  lost = true;
  for (int i = 0; i < 3; ++i) {
    const absl::Status ended = ask();
    CHECK(ended.code() == absl::StatusCode::kInternal);
    CHECK_THAT(std::string(ended.message()), Catch::Contains("weights") && !Catch::Contains("/models"));
    CHECK_FALSE(engine.Status().healthy);
  }
  CHECK_FALSE(engine.Status().device_lost);
  AwaitIdle(engine);
  CHECK(engine.Status().kv_blocks_free == 64);
}

TEST_CASE("A device that is lost ends every request, those that wait as well, and takes no new ones") {
  std::atomic<int64_t> lost_from{1 << 20};
  FakeModel model({.fail_step = [&lost_from](int64_t step) -> absl::Status {
    if (step < lost_from) return absl::OkStatus();
    return absl::UnavailableError("the device is lost to this process");
  }});
  EngineOptions options = SmallOptions();
  options.max_running = 1;
  Engine engine(model, options, BaseTask());
  engine.Start();
  auto before = MakeRequest({1, 2, 3}, Greedy(2));
  REQUIRE(engine.Submit(before).ok());
  CHECK(Collect(*before->stream).end.status.ok());
  lost_from = 0;
  auto running = MakeRequest({1, 2, 3}, Greedy(10)), waiting = MakeRequest({4, 5}, Greedy(10));
  REQUIRE(engine.Submit(running).ok());
  // The second may come before the first has ended, or find the door closed.
  const bool accepted = engine.Submit(waiting).ok();
  CHECK(Collect(*running->stream).end.status.code() == absl::StatusCode::kUnavailable);
  if (accepted) CHECK(Collect(*waiting->stream).end.status.code() == absl::StatusCode::kUnavailable);
  CHECK(engine.Submit(MakeRequest({1}, Greedy(1))).code() == absl::StatusCode::kUnavailable);
  AwaitIdle(engine);
  CHECK(engine.Status().device_lost);
  CHECK_FALSE(engine.Status().healthy);
  CHECK(engine.Status().kv_blocks_free == 64);
  CHECK(engine.Drain(absl::Seconds(10)));
}

TEST_CASE("A callback that throws ends its own request") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  auto bad = MakeRequest(std::vector<int32_t>(20, 3), Greedy(10));
  bad->on_prompt_logits = [](int32_t position, std::span<const float>) {
    if (position == 7) throw std::runtime_error("the disk is full");
  };
  auto good = MakeRequest({1, 2, 3}, Greedy(10));
  for (const auto& request : {bad, good}) REQUIRE(engine.Submit(request).ok());
  engine.Start();
  const Answer answer = Collect(*bad->stream);
  CHECK(answer.end.reason == FinishReason::kError);
  CHECK(answer.end.status.message() == "the disk is full");
  CHECK(Collect(*good->stream).tokens == SoloTokens(*good, 61));
}

TEST_CASE("A step that fails ends the requests that were in it, the next ones are served") {
  FakeModel model({.fail_step = [](int64_t step) -> absl::Status {
    static bool failed = false;
    if (step == 2 && !failed) {
      failed = true;
      return absl::InternalError("boom");
    }
    return absl::OkStatus();
  }});
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  auto first = MakeRequest({1, 2, 3}, Greedy(10));
  REQUIRE(engine.Submit(first).ok());
  const Answer answer = Collect(*first->stream);
  CHECK(answer.tokens.size() == 2);
  CHECK(answer.end.status.code() == absl::StatusCode::kInternal);
  auto second = MakeRequest({1, 2, 3}, Greedy(10));
  REQUIRE(engine.Submit(second).ok());
  CHECK(Collect(*second->stream).tokens == SoloTokens(*second, 61));
  CHECK(engine.Status().kv_blocks_free == 64);
}

// The k-th allocation of the engine thread fails, for every k until a run needs fewer than k.
TEST_CASE(
    "Whichever allocation of the engine fails, every request ends once, and right unless it says otherwise") {
  SetAllocationHook(AllocationFails);
  int failures = 0;
  for (int64_t k = 1; k < 4000; ++k) {
    FakeModel model({.kv_blocks = 12, .before_step = [&](int64_t step) {
                       if (step > 0) return;
                       on_engine_thread = true;
                       failing_allocation = k;
                     }});
    Engine engine(model, SmallOptions(), BaseTask());
    std::vector<std::shared_ptr<Request>> requests;
    for (int i = 0; i < 4; ++i) {
      requests.push_back(
          MakeRequest(std::vector<int32_t>(static_cast<size_t>(10 + 15 * i), 1 + i), Greedy(20)));
      requests.back()->sampling.logprobs = true;
      requests.back()->sampling.top_logprobs = 2;
      requests.back()->sampling.prompt_logprobs = i == 1;
      REQUIRE(engine.Submit(requests.back()).ok());
    }
    engine.Start();
    int failed = 0;
    for (const auto& request : requests) {
      const Answer answer = Collect(*request->stream);
      if (answer.end.reason == FinishReason::kError) {
        CHECK((answer.end.status.code() == absl::StatusCode::kResourceExhausted ||
               answer.end.status.code() == absl::StatusCode::kInternal));
        ++failed;
      } else {
        CHECK(answer.tokens == SoloTokens(*request, 61));
      }
    }
    const bool reached = failing_allocation.exchange(0) == 0;
    CHECK(failed <= (reached ? 4 : 0));
    CHECK(engine.Status().kv_blocks_free == 12);
    failures += failed;
    if (!reached) break;
    REQUIRE(k < 3999);
  }
  SetAllocationHook(nullptr);
  CHECK(failures > 20);
}

}  // namespace
}  // namespace guildhall
