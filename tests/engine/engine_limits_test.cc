// Ends that do not come from the model: cancel, deadline, a slow reader; in every state of a request.
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/time/clock.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

// Holds the engine thread in the model until it is let go: a test can act in the middle of a step.
class Gate {
 public:
  std::function<void(int64_t)> Hook() {
    return [this](int64_t step) {
      std::unique_lock lock(mutex_);
      arrived_ = step;
      changed_.notify_all();
      changed_.wait(lock, [&] { return step < open_until_; });
    };
  }
  void AwaitStep(int64_t step) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= step; });
  }
  void OpenUntil(int64_t step) {
    std::lock_guard lock(mutex_);
    open_until_ = step;
    changed_.notify_all();
  }
  void Open() { OpenUntil(std::numeric_limits<int64_t>::max()); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t arrived_ = -1;
  int64_t open_until_ = 0;
};

void CheckAllFree(const Engine& engine) {
  const EngineStatus status = engine.Status();
  CHECK(status.kv_blocks_free == status.kv_blocks);
  for (const EngineStatus::Task& task : status.tasks) CHECK(task.queued + task.running == 0);
}

TEST_CASE("A cancel ends a request that waits, that computes its prompt, and that decodes, within one step") {
  Gate gate;
  FakeModel model({.before_step = gate.Hook()});
  EngineOptions options = SmallOptions();
  options.max_running = 2;
  options.prefill_chunk = 16;
  Engine engine(model, options, BaseTask());
  auto decoding = MakeRequest({1, 2, 3}, Greedy(100));
  auto prompting = MakeRequest(std::vector<int32_t>(200, 5), Greedy(10));
  auto waiting = MakeRequest({4}, Greedy(10));
  for (const auto& request : {decoding, prompting, waiting}) REQUIRE(engine.Submit(request).ok());
  engine.Start();
  gate.OpenUntil(2);
  gate.AwaitStep(2);  // in the third step
  EngineStatus status = engine.Status();
  CHECK(status.tasks[0].running == 2);
  CHECK(status.tasks[0].queued == 1);
  for (const auto& request : {decoding, prompting, waiting})
    request->stream->Cancel(FinishReason::kCancelled);
  gate.OpenUntil(3);  // that step ends, and no other is needed
  for (const auto& request : {decoding, prompting, waiting}) {
    const Answer answer = Collect(*request->stream);
    CHECK(answer.end.reason == FinishReason::kCancelled);
    CHECK(answer.end.status.code() == absl::StatusCode::kCancelled);
  }
  CheckAllFree(engine);
  CHECK(model.steps() == 3);
  gate.Open();
}

TEST_CASE("A reader's own stop is a clean end") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  auto request = MakeRequest({1}, Greedy(500), "", /*stream_capacity=*/4);
  REQUIRE(engine.Submit(request).ok());
  REQUIRE(request->stream->Pop(absl::InfiniteFuture()).has_value());
  request->stream->Cancel(FinishReason::kStop);
  const Answer answer = Collect(*request->stream);
  CHECK(answer.end.reason == FinishReason::kStop);
  CHECK(answer.end.status.ok());
}

TEST_CASE("A cancel that comes before the submit still gives exactly one end") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  auto request = MakeRequest({1}, Greedy(5));
  request->stream->Cancel(FinishReason::kCancelled);
  REQUIRE(engine.Submit(request).ok());
  CHECK(Collect(*request->stream).end.reason == FinishReason::kCancelled);
  CHECK(model.steps() == 0);
}

TEST_CASE("A deadline ends a waiting and a running request without anybody's call") {
  FakeModel model;
  EngineOptions options = SmallOptions();
  options.max_running = 1;
  Engine engine(model, options, BaseTask());
  auto running = MakeRequest({1}, Greedy(500), "", /*stream_capacity=*/3);  // pauses after three tokens
  running->deadline = absl::Now() + absl::Milliseconds(30);
  auto waiting = MakeRequest({2}, Greedy(500), "", /*stream_capacity=*/3);
  waiting->deadline = absl::Now() + absl::Milliseconds(20);
  auto late = MakeRequest({3}, Greedy(5));
  late->deadline = absl::Now() - absl::Seconds(1);
  for (const auto& request : {running, waiting, late}) REQUIRE(engine.Submit(request).ok());
  engine.Start();
  for (const auto& request : {running, waiting, late}) {
    AwaitIdle(engine);  // nobody reads meanwhile
    const Answer answer = Collect(*request->stream);
    CHECK(answer.end.reason == FinishReason::kDeadline);
    CHECK(answer.end.status.code() == absl::StatusCode::kDeadlineExceeded);
  }
  CheckAllFree(engine);
}

TEST_CASE("A reader that takes nothing is cancelled after the stall limit") {
  FakeModel model;
  EngineOptions options = SmallOptions();
  options.stall_limit = absl::Milliseconds(20);
  Engine engine(model, options, BaseTask());
  engine.Start();
  auto request = MakeRequest({1}, Greedy(500), "", /*stream_capacity=*/2);
  REQUIRE(engine.Submit(request).ok());
  AwaitIdle(engine);
  const Answer answer = Collect(*request->stream);
  CHECK(answer.tokens.size() == 2);
  CHECK(answer.end.reason == FinishReason::kCancelled);
  CHECK(answer.end.status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(answer.end.timings.total >= absl::Milliseconds(20));
}

TEST_CASE("A slow reader pauses its own sequence and nothing else, and loses nothing") {
  FakeModel model({.kv_blocks = 20});
  EngineOptions options = SmallOptions();
  options.max_running = 2;  // and the slow one holds one of the places
  Engine engine(model, options, BaseTask());
  engine.Start();
  auto slow = MakeRequest({1, 2, 3}, Greedy(100), "", /*stream_capacity=*/2);
  REQUIRE(engine.Submit(slow).ok());
  for (int i = 0; i < 10; ++i) {
    auto a = MakeRequest(std::vector<int32_t>(100, 1 + i), Greedy(50));
    auto b = MakeRequest(std::vector<int32_t>(80, 20 + i), Greedy(50));
    REQUIRE(engine.Submit(a).ok());
    REQUIRE(engine.Submit(b).ok());
    CHECK(Collect(*a->stream).tokens == SoloTokens(*a, 61));
    CHECK(Collect(*b->stream).tokens == SoloTokens(*b, 61));
  }
  CHECK(Collect(*slow->stream).tokens == SoloTokens(*slow, 61));
  CheckAllFree(engine);
}

TEST_CASE("An engine without work takes no steps and wakes for the next request") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  for (int i = 0; i < 3; ++i) {
    auto request = MakeRequest({1}, Greedy(4));
    REQUIRE(engine.Submit(request).ok());
    Collect(*request->stream);
    CHECK(model.steps() == 4 * (i + 1));
    CHECK(engine.Status().steps == static_cast<uint64_t>(model.steps()));
  }
}

TEST_CASE("Every request has one end however submits, cancels and stop race") {
  for (int round = 0; round < 20; ++round) {
    FakeModel model;
    auto engine = std::make_unique<Engine>(model, SmallOptions(), BaseTask());
    engine->Start();
    std::vector<std::thread> clients;
    std::atomic<int> ends{0}, accepted{0};
    for (int c = 0; c < 4; ++c) {
      clients.emplace_back([&, c] {
        for (int i = 0; i < 10; ++i) {
          auto request = MakeRequest({c, i}, Greedy(30), "", /*stream_capacity=*/3);
          if (!engine->Submit(request).ok()) return;
          ++accepted;
          if (i % 3 == 0) request->stream->Cancel(FinishReason::kCancelled);
          Collect(*request->stream);
          ++ends;
        }
      });
    }
    if (round % 2 == 0) engine->Stop();
    for (std::thread& client : clients) client.join();
    CHECK(ends == accepted);
    if (round % 2 == 1) CHECK(ends == 40);
    CheckAllFree(*engine);
  }
}

}  // namespace
}  // namespace guildhall
