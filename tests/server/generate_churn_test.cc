// Many answers at once: on few threads, and each with one end, whoever brings it about.
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "tests/server/plain_calls.h"

namespace guildhall {
namespace {

int64_t ThreadsOfThisProcess() {
  const std::filesystem::directory_iterator begin("/proc/self/task");
  return std::distance(begin, std::filesystem::directory_iterator());
}

// Takes messages on a thread of its own, each a moment later.
class SlowTransport {
 public:
  ~SlowTransport() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    thread_.join();
  }

  void Take(std::function<void(bool)> sent, bool taken) {
    const std::lock_guard lock(mutex_);
    waiting_.emplace_back(std::move(sent), taken);
  }

 private:
  void Serve() {
    while (true) {
      std::vector<std::pair<std::function<void(bool)>, bool>> now;
      {
        const std::lock_guard lock(mutex_);
        if (ends_ && waiting_.empty()) return;
        now.swap(waiting_);
      }
      for (const auto& [sent, taken] : now) sent(taken);
      absl::SleepFor(absl::Microseconds(50));
    }
  }

  std::mutex mutex_;
  std::vector<std::pair<std::function<void(bool)>, bool>> waiting_;
  bool ends_ = false;
  std::thread thread_{[this] { Serve(); }};
};

TEST_CASE("an answer holds no thread, also where its client takes nothing") {
  constexpr size_t kAnswers = 48;
  Calls calls(EndlessModel());
  std::vector<std::unique_ptr<Answered>> answers;
  std::mutex mutex;
  std::vector<std::function<void(bool)>> on_their_way;
  const int64_t threads = ThreadsOfThisProcess();
  for (size_t i = 0; i < kAnswers; ++i) {
    answers.push_back(std::make_unique<Answered>());
    answers.back()->transport = [&](std::function<void(bool)> sent) {
      const std::lock_guard lock(mutex);
      on_their_way.push_back(std::move(sent));
    };
    answers.back()->Start(calls.generate, IdRequest(5, kEndless));
  }
  const auto all_wait = [&] {
    const std::lock_guard lock(mutex);
    return on_their_way.size() == kAnswers;
  };
  while (!all_wait()) absl::SleepFor(absl::Milliseconds(1));
  CHECK(calls.streams.open() == kAnswers);
  CHECK(ThreadsOfThisProcess() == threads);
  for (const auto& sent : std::exchange(on_their_way, {})) sent(false);
  for (const auto& answer : answers) CHECK(absl::IsCancelled(answer->End()));
  CHECK(calls.Idle());
  CHECK(calls.state.deployment()->request_memory->used() == 0);
}

TEST_CASE(
    "answers whose clients read slowly, leave, run out of time or are cut off each end once, in order") {
  constexpr int kRounds = 6;
  std::mt19937 random(7);
  for (int round = 0; round < kRounds; ++round) {
    Calls calls(EndlessModel());
    {
      SlowTransport slow;
      std::vector<std::unique_ptr<Answered>> answers;
      for (int i = 0; i < 48; ++i) {
        answers.push_back(std::make_unique<Answered>());
        Answered& answer = *answers.back();
        const auto way = random() % 4;
        const auto leaves_at = static_cast<int>(random() % 20);
        const auto count = std::make_shared<std::atomic<int>>(0);
        answer.transport = [&slow, way, leaves_at, count](std::function<void(bool)> sent) {
          const bool taken = way != 1 || ++*count < leaves_at;
          if (way < 2) return slow.Take(std::move(sent), taken);
          sent(taken);
        };
        if (way == 2) answer.call.deadline_ = absl::Now() + absl::Milliseconds(random() % 30);
        answer.Start(calls.generate, IdRequest(5, random() % 3 == 0 ? 40 : kEndless));
        if (random() % 4 == 0) answers[random() % answers.size()]->call.Cancel();
      }
      absl::SleepFor(absl::Milliseconds(random() % 20));
      for (const auto& answer : answers) {
        if (random() % 2 == 0) answer->call.Cancel();
      }
      calls.streams.CutOff();
      for (const auto& answer : answers) {
        const absl::Status status = answer->End();
        const auto& messages = answer->messages;
        for (size_t m = 0; m < messages.size(); ++m) {
          CHECK(messages[m].has_start() == (m == 0));
          if (messages[m].has_end()) CHECK(m + 1 == messages.size());
        }
        // Whoever is told that all is well has had all of it.
        if (!status.ok()) continue;
        REQUIRE_FALSE(messages.empty());
        CHECK(messages.back().end().usage().output_tokens() == 40);
      }
    }
    CHECK(calls.Idle());
    CHECK(calls.state.deployment()->request_memory->used() == 0);
  }
}

}  // namespace
}  // namespace guildhall
