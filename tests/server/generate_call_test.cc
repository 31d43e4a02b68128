// The calls behind the front ends, by a front end that is none: no transport, no socket.
#include "server/generate_call.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/admin_calls.h"
#include "tests/server/fixture.h"

namespace guildhall {
namespace {

class PlainCall final : public Call {
 public:
  absl::Time deadline() const override { return deadline_; }
  bool cancelled() const override { return cancelled_; }
  void Cancel() override { cancelled_ = true; }
  std::string peer() const override { return "nobody"; }
  std::optional<std::string> authorization() const override { return authorization_; }

  absl::Time deadline_ = absl::InfiniteFuture();
  std::optional<std::string> authorization_;

 private:
  std::atomic<bool> cancelled_{false};
};

// Keeps what it is given; `takes` says whether the client is still there.
class KeepingSink final : public GenerateSink {
 public:
  explicit KeepingSink(std::function<bool(const v1::GenerateResponse&)> takes = {})
      : takes_(std::move(takes)) {}

  bool Write(const v1::GenerateResponse& message) override {
    messages.push_back(message);
    return !takes_ || takes_(message);
  }

  std::vector<v1::GenerateResponse> messages;

 private:
  const std::function<bool(const v1::GenerateResponse&)> takes_;
};

// A server without listeners.
class Calls {
 public:
  explicit Calls(ScriptedModel::Options options = {}, const ServerConfig& config = TestConfig())
      : model_(std::move(options)) {
    DeployedModel deployed;
    deployed.model = &model_;
    auto deployment = Deploy(config, DemoText(), std::move(deployed));
    REQUIRE(deployment.ok());
    state.Publish(*std::move(deployment));
  }

  bool Idle() const {
    const EngineStatus status = state.deployment()->engine->Status();
    return streams.open() == 0 && status.kv_blocks_free == status.kv_blocks;
  }

 private:
  ScriptedModel model_;

 public:
  ServerState state;
  OpenStreams streams{2};
  GenerateCalls generate{state, streams};
};

}  // namespace

TEST_CASE("an answer is its start, its chunks and its end, whoever carries it") {
  Calls calls;
  PlainCall call;
  KeepingSink sink;
  REQUIRE(calls.generate.Run(IdRequest(5, 3), call, sink).ok());
  REQUIRE(sink.messages.size() >= 3);
  CHECK(sink.messages.front().start().request_id() == 1);
  CHECK(sink.messages.front().start().prompt_tokens() == 1);
  int tokens = 0;
  for (const auto& message : sink.messages) tokens += message.chunk().token_ids_size();
  CHECK(tokens == 3);
  CHECK(sink.messages.back().end().finish_reason() == v1::FINISH_REASON_LENGTH);
  CHECK(calls.Idle());
  // Whatever front end a call came by, its id is its own.
  KeepingSink next;
  REQUIRE(calls.generate.Run(IdRequest(5, 3), call, next).ok());
  CHECK(next.messages.front().start().request_id() == 2);
}

TEST_CASE("a call's deadline, its cancellation and a client that takes nothing end it, and nothing is left") {
  Calls calls(EndlessModel());
  PlainCall late;
  late.deadline_ = absl::Now() + absl::Milliseconds(50);
  KeepingSink sink;
  CHECK(absl::IsDeadlineExceeded(calls.generate.Run(IdRequest(5, kEndless), late, sink)));
  CHECK(sink.messages.back().end().finish_reason() == v1::FINISH_REASON_DEADLINE);
  CHECK(calls.Idle());

  PlainCall left;
  KeepingSink until_chunk([&](const v1::GenerateResponse& message) {
    if (message.has_chunk()) left.Cancel();
    return true;
  });
  CHECK(absl::IsCancelled(calls.generate.Run(IdRequest(5, kEndless), left, until_chunk)));
  CHECK(calls.Idle());

  PlainCall deaf;
  KeepingSink closed([](const v1::GenerateResponse& message) { return !message.has_chunk(); });
  CHECK(absl::IsCancelled(calls.generate.Run(IdRequest(5, kEndless), deaf, closed)));
  CHECK_FALSE(closed.messages.back().has_end());
  CHECK(calls.Idle());
}

TEST_CASE(
    "the end of a call is seen in every stage of the engine: by deadline, by cancel, by the drain's limit") {
  enum class Stage { kQueue, kSteps, kStream };
  enum class End { kDeadline, kCancel, kCutOff };
  const Stage stage = GENERATE(Stage::kQueue, Stage::kSteps, Stage::kStream);
  const End end = GENERATE(End::kDeadline, End::kCancel, End::kCutOff);
  ServerConfig config = TestConfig();
  config.engine.max_running = 1;
  Calls calls(EndlessModel(), config);
  PlainCall before, call;
  KeepingSink ignored;
  std::thread first([&] {
    if (stage == Stage::kQueue) (void)calls.generate.Run(IdRequest(5, kEndless), before, ignored);
  });
  const auto engine = [&] {
    const EngineStatus status = calls.state.deployment()->engine->Status();
    int queued = 0, running = 0;
    for (const auto& task : status.tasks) queued += task.queued, running += task.running;
    return std::pair(queued, running);
  };
  while (stage == Stage::kQueue && engine() != std::pair(0, 1)) absl::SleepFor(absl::Milliseconds(1));
  if (end == End::kDeadline) call.deadline_ = absl::Now() + absl::Milliseconds(100);
  // A client that reads slowly: the stream is full, and the sequence rests.
  KeepingSink sink([&](const v1::GenerateResponse& message) {
    if (stage == Stage::kStream && message.has_chunk()) absl::SleepFor(absl::Milliseconds(20));
    return true;
  });
  absl::Status status;
  std::atomic<int64_t> ended_ns{0};
  std::thread second([&] {
    status = calls.generate.Run(IdRequest(5, kEndless), call, sink);
    ended_ns = absl::GetCurrentTimeNanos();
  });
  const std::pair<int, int> expected = stage == Stage::kQueue ? std::pair(1, 1) : std::pair(0, 1);
  while (ended_ns == 0 && engine() != expected) absl::SleepFor(absl::Milliseconds(1));
  const absl::Time begin = end == End::kDeadline ? call.deadline_ : absl::Now();
  if (end == End::kCancel) call.Cancel();
  if (end == End::kCutOff) {
    calls.state.BeginDrain(std::nullopt);
    calls.state.CutOff();
  }
  second.join();
  CHECK(absl::FromUnixNanos(ended_ns) - begin < absl::Seconds(1));  // 50 ms, on a machine with other work
  CHECK(status.code() == (end == End::kDeadline ? absl::StatusCode::kDeadlineExceeded
                          : end == End::kCancel ? absl::StatusCode::kCancelled
                                                : absl::StatusCode::kUnavailable));
  before.Cancel();
  first.join();
  CHECK(calls.Idle());
  CHECK(calls.state.deployment()->request_memory->used() == 0);
}

TEST_CASE("a write that is blocked for longer than the stall limit cancels its call") {
  Calls calls(EndlessModel());
  PlainCall call;
  KeepingSink blocked([&](const v1::GenerateResponse& message) {
    if (!message.has_chunk()) return true;
    // The watcher of a server, here from inside the write.
    while (!call.cancelled()) calls.streams.CancelStalled(absl::Nanoseconds(1));
    return false;
  });
  CHECK(absl::IsCancelled(calls.generate.Run(IdRequest(5, kEndless), call, blocked)));
  CHECK(calls.Idle());
}

TEST_CASE("administration is for who knows the token, by whatever transport it comes") {
  Calls calls;
  const CountsOfListeners listeners;
  const AdminCalls admin(calls.state, calls.streams, listeners, "correct horse", absl::Seconds(1));
  PlainCall call;
  v1::GetStatusResponse status;
  CHECK(absl::IsUnauthenticated(admin.GetStatus({}, call, status)));
  call.authorization_ = "Bearer wrong";
  CHECK(absl::IsPermissionDenied(admin.GetStatus({}, call, status)));
  call.authorization_ = "Bearer correct horse";
  REQUIRE(admin.GetStatus({}, call, status).ok());
  CHECK(status.state() == v1::GetStatusResponse::STATE_SERVING);
  v1::DrainResponse drained;
  REQUIRE(admin.Drain({}, call, drained).ok());
  CHECK(drained.limit().seconds() == 1);
  v1::ListAdaptersResponse list;
  CHECK(absl::IsUnavailable(admin.ListAdapters({}, call, list)));
  KeepingSink sink;
  CHECK(absl::IsUnavailable(calls.generate.Run(IdRequest(5, 3), call, sink)));
  CHECK(sink.messages.empty());
}

}  // namespace guildhall
