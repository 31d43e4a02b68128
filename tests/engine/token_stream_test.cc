// The stream between engine and reader.
#include "engine/token_stream.h"

#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"

namespace guildhall {
namespace {

TokenEvent Token(int32_t token) {
  return {.token = token, .has_logprob = false, .logprob = {}};
}

RequestEnd EndOf(FinishReason reason) {
  RequestEnd end;
  end.reason = reason;
  return end;
}

TEST_CASE("Events come in order, the end last and once") {
  TokenStream stream(4);
  stream.Push(Token(1));
  stream.Push(Token(2));
  stream.End(EndOf(FinishReason::kLength));
  CHECK(std::get<TokenEvent>(*stream.Pop(absl::InfiniteFuture())).token == 1);
  CHECK(std::get<TokenEvent>(*stream.Pop(absl::InfiniteFuture())).token == 2);
  CHECK(std::get<RequestEnd>(*stream.Pop(absl::InfiniteFuture())).reason == FinishReason::kLength);
  CHECK_FALSE(stream.Pop(absl::InfiniteFuture()).has_value());
}

TEST_CASE("A full stream has no room, and the end fits all the same") {
  TokenStream stream(2);
  stream.Push(Token(1));
  CHECK(stream.HasRoom());
  stream.Push(Token(2));
  CHECK_FALSE(stream.HasRoom());
  stream.End({});
  stream.Pop(absl::InfiniteFuture());
  CHECK(stream.HasRoom());
}

TEST_CASE("Pop gives up at its deadline") {
  TokenStream stream(1);
  CHECK_FALSE(stream.Pop(absl::Now() - absl::Seconds(1)).has_value());
  CHECK_FALSE(stream.Pop(absl::Now() + absl::Milliseconds(1)).has_value());
}

TEST_CASE("Pop waits for another thread's push") {
  TokenStream stream(1);
  std::thread writer([&] { stream.Push(Token(7)); });
  CHECK(std::get<TokenEvent>(*stream.Pop(absl::InfiniteFuture())).token == 7);
  writer.join();
}

TEST_CASE("The first cancel wins") {
  TokenStream stream(1);
  CHECK_FALSE(stream.CancelRequested().has_value());
  stream.Cancel(FinishReason::kStop);
  stream.Cancel(FinishReason::kCancelled);
  CHECK(stream.CancelRequested() == FinishReason::kStop);
}

TEST_CASE("The engine is woken by a cancel and by room in a full stream, and by nothing after the end") {
  TokenStream stream(2);
  int wakes = 0;
  stream.SetWake([&] { ++wakes; });
  stream.Push(Token(1));
  stream.Pop(absl::InfiniteFuture());
  CHECK(wakes == 0);  // there was room before
  stream.Push(Token(1));
  stream.Push(Token(2));
  stream.Pop(absl::InfiniteFuture());
  CHECK(wakes == 1);
  stream.Cancel(FinishReason::kCancelled);
  CHECK(wakes == 2);
  stream.Push(Token(3));
  stream.End({});
  stream.Pop(absl::InfiniteFuture());
  CHECK(wakes == 2);
}

TEST_CASE("A reader that does not wait is told of every event, the end included, and of nothing afterwards") {
  TokenStream stream(2);
  int told = 0;
  const auto held = std::make_shared<int>(0);
  stream.Push(Token(1));
  stream.OnEvent([&told, held] { ++told; });
  CHECK(told == 0);  // of what comes from now on
  stream.Push(Token(2));
  CHECK(told == 1);
  stream.OnEvent(nullptr);
  CHECK(held.use_count() == 1);
  stream.Push(Token(3));
  CHECK(told == 1);
  stream.OnEvent([&told, held] { ++told; });
  stream.End({});
  CHECK(told == 2);
  CHECK(held.use_count() == 1);  // the stream keeps nobody alive
}

TEST_CASE("LastPop moves with the reader") {
  TokenStream stream(2);
  const absl::Time before = stream.LastPop();
  CHECK(before <= absl::Now());
  stream.Push(Token(1));
  stream.Pop(absl::InfiniteFuture());
  CHECK(stream.LastPop() >= before);
}

TEST_CASE("Prompt log-probabilities are taken once") {
  TokenStream stream(1);
  stream.SetPromptLogprobs({{.token = 3, .logprob = -1.0f, .top = {}}});
  CHECK(stream.TakePromptLogprobs().size() == 1);
  CHECK(stream.TakePromptLogprobs().empty());
}

}  // namespace
}  // namespace guildhall
