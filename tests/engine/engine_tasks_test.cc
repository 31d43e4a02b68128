// Tasks that come, change and go while requests are served.
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "base/check.h"
#include "engine/engine.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

const EngineStatus::Task* Find(const EngineStatus& status, const std::string& id) {
  for (const EngineStatus::Task& task : status.tasks) {
    if (task.policy.id == id) return &task;
  }
  return nullptr;
}

TEST_CASE("A task that was put is served, and once deleted it is not found") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  const auto ask = [&] { return MakeRequest({1, 2}, Greedy(3), "law"); };
  CHECK(engine.Submit(ask()).code() == absl::StatusCode::kNotFound);
  for (int round = 1; round <= 2; ++round) {
    REQUIRE(engine.PutTask({.id = "law"}).ok());
    for (int i = 0; i < round; ++i) {
      auto request = ask();
      REQUIRE(engine.Submit(request).ok());
      CHECK(Collect(*request->stream).tokens == SoloTokens(*request, 61));
    }
    EngineStatus status = engine.Status();
    REQUIRE(status.tasks.size() == 2);
    const EngineStatus::Task* law = Find(status, "law");
    REQUIRE(law != nullptr);
    // The counts are this task's, not those of the one that had its name and place before.
    CHECK(law->requests == static_cast<uint64_t>(round));
    CHECK(law->output_tokens == static_cast<uint64_t>(3 * round));
    CHECK(law->prompt_tokens == static_cast<uint64_t>(2 * round));
    REQUIRE(engine.DeleteTask("law").ok());
    CHECK(engine.Submit(ask()).message() == "there is no task \"law\"; ListTasks names those there are");
    status = engine.Status();
    CHECK(status.tasks.size() == 1);
  }
  CHECK(engine.DeleteTask("law").code() == absl::StatusCode::kNotFound);
  CHECK(engine.DeleteTask("").code() == absl::StatusCode::kInvalidArgument);
  auto base = MakeRequest({5}, Greedy(2));
  REQUIRE(engine.Submit(base).ok());
  CHECK(Collect(*base->stream).tokens == SoloTokens(*base, 61));
}

TEST_CASE("What a deleted task has accepted ends as usual, apart from a new task of the same name") {
  FakeModel model;
  EngineOptions options = SmallOptions();
  Engine engine(model, options, BaseTask());
  REQUIRE(engine.PutTask({.id = "law", .max_queued = 2, .max_running = 1}).ok());
  std::vector<std::shared_ptr<Request>> old;
  for (int i = 0; i < 2; ++i) {
    old.push_back(MakeRequest({1, i}, Greedy(20), "law"));
    REQUIRE(engine.Submit(old.back()).ok());
  }
  REQUIRE(engine.DeleteTask("law").ok());
  REQUIRE(engine.PutTask({.id = "law", .max_queued = 1}).ok());
  auto fresh = MakeRequest({7}, Greedy(20), "law");
  REQUIRE(engine.Submit(fresh).ok());
  CHECK(engine.Submit(MakeRequest({7}, Greedy(20), "law")).code() == absl::StatusCode::kResourceExhausted);
  const EngineStatus status = engine.Status();
  CHECK(Find(status, "law")->queued == 1);
  CHECK(Find(status, "law")->rejected == 1);
  engine.Start();
  for (const auto& request : old) CHECK(Collect(*request->stream).tokens == SoloTokens(*request, 61));
  CHECK(Collect(*fresh->stream).tokens == SoloTokens(*fresh, 61));
  const EngineStatus after = engine.Status();
  CHECK(Find(after, "law")->requests == 1);
  CHECK(Find(after, "law")->output_tokens == 20);
}

TEST_CASE("There is room for so many tasks, and a deleted one makes room") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  for (int i = 1; i < Engine::kMaxTasks; ++i) REQUIRE(engine.PutTask({.id = std::to_string(i)}).ok());
  const absl::Status status = engine.PutTask({.id = "one more"});
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(std::string(status.message()).find("there are 4096 tasks") != std::string::npos);
  CHECK(engine.PutTask({.id = "17", .weight = 2.0}).ok());  // is there: a change
  // A deleted task keeps its place while its requests live.
  auto request = MakeRequest({3}, Greedy(4), "17");
  REQUIRE(engine.Submit(request).ok());
  REQUIRE(engine.DeleteTask("17").ok());
  CHECK(engine.PutTask({.id = "one more"}).code() == absl::StatusCode::kResourceExhausted);
  engine.Start();
  CHECK(Collect(*request->stream).tokens == SoloTokens(*request, 61));
  REQUIRE(engine.PutTask({.id = "one more"}).ok());
  auto last = MakeRequest({3}, Greedy(4), "one more");
  REQUIRE(engine.Submit(last).ok());
  CHECK(Collect(*last->stream).tokens == SoloTokens(*last, 61));
  for (int i = 0; i < 3 * Engine::kMaxTasks; ++i) {
    REQUIRE(engine.DeleteTask("one more").ok());
    REQUIRE(engine.PutTask({.id = "one more"}).ok());
  }
  CHECK(engine.Status().tasks.size() == static_cast<size_t>(Engine::kMaxTasks));
}

TEST_CASE("A policy out of bounds is refused and changes nothing") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  for (const TaskPolicy& policy :
       {TaskPolicy{.id = "", .weight = 0.0}, TaskPolicy{.id = "", .weight = -1.0},
        TaskPolicy{.id = "", .weight = std::nan("")}, TaskPolicy{.id = "", .weight = 1e6},
        TaskPolicy{.id = "", .max_queued = -1}, TaskPolicy{.id = "", .max_running = 0}}) {
    CHECK(engine.PutTask(policy).code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(engine.Status().tasks[0].policy.weight == 1.0);
  CHECK(engine.Status().tasks[0].policy.max_running == 1 << 20);
}

TEST_CASE("A new quota holds from the next step, beside what runs already") {
  Engine* running = nullptr;
  std::atomic<int> most{0};
  FakeModel model({.before_step = [&](int64_t) {
    most = std::max(most.load(), Find(running->Status(), "law")->running);
  }});
  Engine engine(model, SmallOptions(), BaseTask());
  running = &engine;
  REQUIRE(engine.PutTask({.id = "law", .max_running = 1}).ok());
  const auto serve_six = [&] {
    most = 0;
    std::vector<std::shared_ptr<Request>> requests;
    for (int i = 0; i < 6; ++i) {
      requests.push_back(MakeRequest({1, i}, Greedy(30), "law"));
      REQUIRE(engine.Submit(requests.back()).ok());
    }
    engine.Start();
    for (const auto& request : requests) CHECK(Collect(*request->stream).tokens == SoloTokens(*request, 61));
    engine.Drain(absl::ZeroDuration());
    return most.load();
  };
  SECTION("as it was put") {
    CHECK(serve_six() == 1);
  }
  SECTION("as it was changed") {
    REQUIRE(engine.PutTask({.id = "law", .max_running = 4}).ok());
    CHECK(serve_six() == 4);
  }
}

// Every task has a quota of its own, kept whoever has its place.
int QuotaOf(const std::string& id) {
  return 1 + id.back() % 3;
}

TEST_CASE("Beside tasks that come and go no request is lost, and every quota is kept") {
  Engine* running = nullptr;
  std::atomic<bool> within{true};
  FakeModel model({.kv_blocks = 24, .before_step = [&](int64_t) {
                     for (const EngineStatus::Task& task : running->Status().tasks) {
                       if (task.running > task.policy.max_running) within = false;
                     }
                   }});
  EngineOptions options = SmallOptions();
  options.max_queued = 20;
  Engine engine(model, options, BaseTask());
  running = &engine;
  engine.Start();
  const std::vector<std::string> ids = {"a0", "a1", "a2", "b0", "b1", "b2", ""};
  std::atomic<bool> done{false};
  std::thread admin([&] {
    std::mt19937 random(1);
    while (!done) {
      const std::string& id = ids[random() % (ids.size() - 1)];
      if (random() % 2 == 0) {
        GH_CHECK(engine
                     .PutTask({.id = id,
                               .weight = 0.1 + static_cast<double>(random() % 40),
                               .max_queued = 6,
                               .max_running = QuotaOf(id)})
                     .ok());
      } else if (const absl::Status status = engine.DeleteTask(id); !status.ok()) {
        GH_CHECK(status.code() == absl::StatusCode::kNotFound);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
    }
  });
  std::atomic<int> served{0}, absent{0};
  std::vector<std::thread> clients;
  for (uint32_t c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      std::mt19937 random(100 + c);
      for (int i = 0; i < 400; ++i) {
        std::vector<int32_t> prompt(1 + random() % 40, static_cast<int32_t>(random() % 5));
        auto request =
            MakeRequest(prompt, Greedy(1 + static_cast<int32_t>(random() % 12)), ids[random() % ids.size()]);
        if (random() % 2 == 0) request->adapters = MakeSet(1 + random() % 3);
        const absl::Status status = engine.Submit(request);
        if (!status.ok()) {
          GH_CHECK(status.code() == absl::StatusCode::kNotFound ||
                   status.code() == absl::StatusCode::kResourceExhausted);
          ++absent;
          continue;
        }
        const Answer answer = Collect(*request->stream);
        GH_CHECK(answer.tokens == SoloTokens(*request, 61));
        ++served;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  done = true;
  admin.join();
  CHECK(within);
  CHECK(served > 200);
  CHECK(absent > 100);
  CHECK(served + absent == 1600);
  const EngineStatus status = engine.Status();
  CHECK(status.kv_blocks_free == status.kv_blocks);
  for (const EngineStatus::Task& task : status.tasks) CHECK(task.queued + task.running == 0);
}

}  // namespace
}  // namespace guildhall
