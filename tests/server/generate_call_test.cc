// The calls behind the front ends, by a front end that is none: no transport, no socket.
#include "server/generate_call.h"

#include <catch2/catch.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "server/admin_calls.h"
#include "tests/server/plain_calls.h"

namespace guildhall {

TEST_CASE("an answer is its start, its chunks and its end, whoever carries it") {
  Calls calls;
  Answered sink;
  REQUIRE(sink.Run(calls.generate, IdRequest(5, 3)).ok());
  REQUIRE(sink.messages.size() >= 3);
  CHECK(sink.messages.front().start().request_id() == 1);
  CHECK(sink.messages.front().start().prompt_tokens() == 1);
  int tokens = 0;
  for (const auto& message : sink.messages) tokens += message.chunk().token_ids_size();
  CHECK(tokens == 3);
  CHECK(sink.messages.back().end().finish_reason() == v1::FINISH_REASON_LENGTH);
  CHECK(calls.Idle());
  // Whatever front end a call came by, its id is its own.
  Answered next;
  REQUIRE(next.Run(calls.generate, IdRequest(5, 3)).ok());
  CHECK(next.messages.front().start().request_id() == 2);
}

TEST_CASE("a call's deadline, its cancellation and a client that takes nothing end it, and nothing is left") {
  Calls calls(EndlessModel());
  Answered late;
  late.call.deadline_ = absl::Now() + absl::Milliseconds(50);
  CHECK(absl::IsDeadlineExceeded(late.Run(calls.generate, IdRequest(5, kEndless))));
  CHECK(late.messages.back().end().finish_reason() == v1::FINISH_REASON_DEADLINE);
  CHECK(calls.Idle());

  Answered left([&](const v1::GenerateResponse& message) {
    if (message.has_chunk()) left.call.Cancel();
    return true;
  });
  CHECK(absl::IsCancelled(left.Run(calls.generate, IdRequest(5, kEndless))));
  CHECK(calls.Idle());

  Answered deaf([](const v1::GenerateResponse& message) { return !message.has_chunk(); });
  CHECK(absl::IsCancelled(deaf.Run(calls.generate, IdRequest(5, kEndless))));
  CHECK_FALSE(deaf.messages.back().has_end());
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
  Answered before;
  // A client that reads slowly: the stream is full, and the sequence rests.
  Answered answered([&](const v1::GenerateResponse& message) {
    if (stage == Stage::kStream && message.has_chunk()) absl::SleepFor(absl::Milliseconds(20));
    return true;
  });
  const auto engine = [&] {
    const EngineStatus status = calls.state.deployment()->engine->Status();
    int queued = 0, running = 0;
    for (const auto& task : status.tasks) queued += task.queued, running += task.running;
    return std::pair(queued, running);
  };
  if (stage == Stage::kQueue) {
    before.Start(calls.generate, IdRequest(5, kEndless));
    while (engine() != std::pair(0, 1)) absl::SleepFor(absl::Milliseconds(1));
  }
  if (end == End::kDeadline) answered.call.deadline_ = absl::Now() + absl::Milliseconds(100);
  answered.Start(calls.generate, IdRequest(5, kEndless));
  const std::pair<int, int> expected = stage == Stage::kQueue ? std::pair(1, 1) : std::pair(0, 1);
  while (end != End::kDeadline && engine() != expected) absl::SleepFor(absl::Milliseconds(1));
  const absl::Time begin = end == End::kDeadline ? answered.call.deadline_ : absl::Now();
  if (end == End::kCancel) answered.call.Cancel();
  if (end == End::kCutOff) {
    calls.state.BeginDrain(std::nullopt);
    calls.streams.CutOff();
  }
  const absl::Status status = answered.End();
  CHECK(absl::Now() - begin < absl::Seconds(1));  // 50 ms, on a machine with other work
  CHECK(status.code() == (end == End::kDeadline ? absl::StatusCode::kDeadlineExceeded
                          : end == End::kCancel ? absl::StatusCode::kCancelled
                                                : absl::StatusCode::kUnavailable));
  if (stage == Stage::kQueue) {
    before.call.Cancel();
    (void)before.End();
  }
  CHECK(calls.Idle());
  CHECK(calls.state.deployment()->request_memory->used() == 0);
}

TEST_CASE("a write that is blocked for longer than the stall limit cancels its call") {
  Calls calls(EndlessModel());
  Answered blocked([&](const v1::GenerateResponse& message) {
    if (!message.has_chunk()) return true;
    // The watcher of a server, here from inside the write.
    while (!blocked.call.cancelled()) calls.streams.CancelStalled(absl::Nanoseconds(1));
    return false;
  });
  CHECK(absl::IsCancelled(blocked.Run(calls.generate, IdRequest(5, kEndless))));
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
  Answered late;
  CHECK(absl::IsUnavailable(late.Run(calls.generate, IdRequest(5, 3))));
  CHECK(late.messages.empty());
}

}  // namespace guildhall
