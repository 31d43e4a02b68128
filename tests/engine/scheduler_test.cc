// The scheduler's rules of rows as tables: a state, and the plan that must follow.
#include <catch2/catch.hpp>

#include "engine/scheduler.h"
#include "tests/engine/scheduler_state.h"

namespace guildhall {
namespace {

TEST_CASE("An empty state has an empty plan") {
  Scheduler scheduler = MakeScheduler();
  CHECK(SchedulerState{}.Schedule(scheduler).grants.empty());
}

TEST_CASE("A short prompt is admitted whole, a long one in chunks") {
  Scheduler scheduler = MakeScheduler({{}}, {.token_budget = 100, .prefill_chunk = 60, .total_blocks = 1000});
  SchedulerState state;
  state.Waiting(0, 1, 10);
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 10}});
  state.waiting.clear();
  state.Waiting(0, 1, 500);
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 60}});
}

TEST_CASE("Every decoding sequence gets its row before prompts share the rest") {
  Scheduler scheduler =
      MakeScheduler({{}, {}}, {.token_budget = 40, .prefill_chunk = 256, .total_blocks = 1000});
  SchedulerState state;
  for (int i = 0; i < 5; ++i) state.Decoding(0, static_cast<uint64_t>(i));
  state.Waiting(1, 9, 400);
  const Plan plan = state.Schedule(scheduler);
  CHECK(RunningRows(plan) == Rows{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}});
  CHECK(AdmittedRows(plan) == Rows{{0, 35}});
}

TEST_CASE("A prompt in progress comes before the queue of its task") {
  Scheduler scheduler = MakeScheduler({{}}, {.token_budget = 50, .prefill_chunk = 40, .total_blocks = 1000});
  SchedulerState state;
  state.Prompting(0, 1, 200, 40);
  state.Waiting(0, 2, 200);
  const Plan plan = state.Schedule(scheduler);
  CHECK(RunningRows(plan) == Rows{{0, 40}});
  CHECK(AdmittedRows(plan) == Rows{{0, 10}});
}

TEST_CASE("Tasks of equal weight share the rows equally, whatever the length of their queues") {
  Scheduler scheduler =
      MakeScheduler({{}, {}}, {.token_budget = 128, .prefill_chunk = 128, .total_blocks = 1000});
  SchedulerState state;
  for (uint64_t i = 0; i < 9; ++i) state.Waiting(0, i, 100);
  state.Waiting(1, 9, 100);
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 64}, {9, 64}});
}

TEST_CASE("A task of weight 3 gets three times the rows of a task of weight 1") {
  Scheduler scheduler =
      MakeScheduler({{.weight = 3.0}, {.weight = 1.0}}, {.token_budget = 128, .total_blocks = 1000});
  SchedulerState state;
  state.Waiting(0, 1, 1000);
  state.Waiting(1, 2, 1000);
  // Rounds of 32 and 32/3 rows: 32 + 10 + 32 + 11 + 32 + 11.
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 96}, {1, 32}});
}

TEST_CASE("The rows of a task are neighbours in the plan") {
  Scheduler scheduler = MakeScheduler({{}, {}, {}});
  SchedulerState state;
  for (uint64_t i = 0; i < 9; ++i) state.Decoding(static_cast<int32_t>(i % 3), i);
  for (uint64_t i = 9; i < 15; ++i) state.Waiting(static_cast<int32_t>(i % 3), i, 10);
  const Plan plan = state.Schedule(scheduler);
  REQUIRE(plan.grants.size() == 15);
  std::vector<int32_t> tasks;
  for (const RowGrant& grant : plan.grants) {
    tasks.push_back(
        (grant.admitted ? state.waiting : state.running)[static_cast<size_t>(grant.sequence)].task);
  }
  CHECK(std::is_sorted(tasks.begin(), tasks.end()));
}

TEST_CASE("Paused sequences get nothing and hold nobody up") {
  Scheduler scheduler = MakeScheduler();
  SchedulerState state;
  state.Decoding(0, 1).paused = true;
  state.Decoding(0, 2);
  state.Waiting(0, 3, 10).paused = true;
  state.Waiting(0, 4, 10);
  const Plan plan = state.Schedule(scheduler);
  CHECK(RunningRows(plan) == Rows{{1, 1}});
  CHECK(AdmittedRows(plan) == Rows{{1, 10}});
  CHECK(plan.preempted.empty());
}

TEST_CASE("A task's own bound on running sequences holds its queue, not that of others") {
  Scheduler scheduler = MakeScheduler({{.max_running = 2}, {}});
  SchedulerState state;
  state.Decoding(0, 1);
  state.Decoding(0, 2);
  state.Waiting(0, 3, 10);
  state.Waiting(1, 4, 10);
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{1, 10}});
  CHECK(scheduler.deficit(0) == 0.0);  // its own limit is no injustice
}

TEST_CASE("No more sequences run than may, a paused one makes room") {
  Scheduler scheduler = MakeScheduler({{}}, {.max_running = 2, .total_blocks = 1000});
  SchedulerState state;
  state.Decoding(0, 1);
  state.Decoding(0, 2);
  state.Waiting(0, 3, 10);
  Plan plan = state.Schedule(scheduler);
  CHECK(AdmittedRows(plan).empty());
  CHECK(plan.preempted.empty());
  state.running[0].paused = true;
  plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{0});
  CHECK(AdmittedRows(plan) == Rows{{0, 10}});
}

TEST_CASE("Logit rows bound a step: decodes take turns, the one that waited longest first") {
  Scheduler scheduler = MakeScheduler({{}}, {.max_outputs = 2, .total_blocks = 1000});
  SchedulerState state;
  for (uint64_t i = 0; i < 4; ++i) state.Decoding(0, i).last_step = 10 - i;
  CHECK(RunningRows(state.Schedule(scheduler)) == Rows{{2, 1}, {3, 1}});
}

TEST_CASE("A prompt whose logits are all wanted goes as fast as logit rows allow") {
  Scheduler scheduler = MakeScheduler({{}}, {.max_outputs = 8, .total_blocks = 1000});
  SchedulerState state;
  state.Decoding(0, 1);
  state.Prompting(0, 2, 100, 32).first_output = 0;
  CHECK(RunningRows(state.Schedule(scheduler)) == Rows{{0, 1}, {1, 7}});
  state.running[1].first_output = 40;  // eight rows without, then seven with
  CHECK(RunningRows(state.Schedule(scheduler)) == Rows{{0, 1}, {1, 15}});
}

TEST_CASE("A step in which all got what they could take forgives all debts") {
  Scheduler scheduler = MakeScheduler({{}, {}}, {.token_budget = 64, .total_blocks = 1000});
  SchedulerState state;
  state.Waiting(0, 1, 1000);
  state.Decoding(1, 2);
  state.Schedule(scheduler);
  CHECK(scheduler.deficit(0) == 0.0);
  state.waiting.clear();
  state.Schedule(scheduler);
  CHECK(scheduler.deficit(0) == 0.0);
  CHECK(scheduler.deficit(1) == 0.0);
}

TEST_CASE("A task far ahead of a starving one loses its first place for decode rows") {
  SchedulerLimits limits{.token_budget = 8, .prefill_chunk = 8, .total_blocks = 1000};
  Scheduler scheduler = MakeScheduler({{}, {}}, limits);
  SchedulerState state;
  for (uint64_t i = 0; i < 7; ++i) state.Decoding(0, i);
  state.Waiting(1, 9, 15000);
  int64_t first = 0, second = 0;
  for (int step = 0; step < 400; ++step) {
    const Plan plan = state.Schedule(scheduler);
    for (const auto& [sequence, rows] : RunningRows(plan)) {
      first += rows;
      state.running[static_cast<size_t>(sequence)].last_step = static_cast<uint64_t>(step);
    }
    for (const auto& [sequence, rows] : AdmittedRows(plan)) second += rows;
  }
  CHECK(first + second == 400 * 8);
  CHECK(first - second <= static_cast<int64_t>(Scheduler::kCredit * 8) + 2 * 32);
}

}  // namespace
}  // namespace guildhall
