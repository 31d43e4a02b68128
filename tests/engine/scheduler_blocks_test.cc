// The scheduler's rules of KV blocks as tables: who is admitted, who waits, who is preempted.
#include <catch2/catch.hpp>

#include "engine/scheduler.h"
#include "tests/engine/scheduler_state.h"

namespace guildhall {
namespace {

TEST_CASE("A prompt is admitted when all its blocks are there beside one for each running sequence") {
  Scheduler scheduler = MakeScheduler();
  SchedulerState state;
  state.Decoding(0, 1);
  state.Waiting(0, 2, 40);  // three blocks
  state.available = 3;
  CHECK(AdmittedRows(state.Schedule(scheduler)).empty());
  state.available = 4;
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 40}});
  state.running.clear();
  state.available = 3;
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 40}});
}

TEST_CASE("Blocks that a running prompt still needs are not given to a new one") {
  Scheduler scheduler = MakeScheduler({{}}, {.token_budget = 40, .prefill_chunk = 16, .total_blocks = 1000});
  SchedulerState state;
  state.Prompting(0, 1, 160, 16);  // nine more blocks
  state.Waiting(0, 2, 16);
  state.available = 10;
  CHECK(AdmittedRows(state.Schedule(scheduler)).empty());
  state.available = 11;
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 16}});
}

TEST_CASE("A prefix hit saves its rows, blocks that it shares with a running sequence cost nothing") {
  Scheduler scheduler = MakeScheduler();
  SchedulerState state;
  state.Decoding(0, 1);
  state.Waiting(0, 2, 40);
  state.hits = {{.blocks = 2, .unreferenced = 0}};
  state.available = 2;  // one to compute in, one for the running sequence
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 8}});
  state.hits = {{.blocks = 2, .unreferenced = 2}};
  CHECK(AdmittedRows(state.Schedule(scheduler)).empty());
  state.available = 4;
  CHECK(AdmittedRows(state.Schedule(scheduler)) == Rows{{0, 8}});
}

TEST_CASE("A head of a queue that finds no blocks closes admission for all behind it") {
  Scheduler scheduler = MakeScheduler({{}, {}});
  SchedulerState state;
  state.Decoding(0, 1);
  state.Waiting(0, 2, 800);
  state.Waiting(0, 3, 10);
  state.Waiting(1, 4, 10);
  state.available = 20;
  CHECK(AdmittedRows(state.Schedule(scheduler)).empty());
}

TEST_CASE("When decoding runs out of blocks the last admitted of the most over-served task is preempted") {
  Scheduler scheduler = MakeScheduler({{}, {}}, {.token_budget = 64, .total_blocks = 9});
  SchedulerState state;
  SECTION("equal service: the last admitted of all") {
    for (uint64_t i = 0; i < 3; ++i) state.Decoding(i == 1 ? 1 : 0, i, 49);  // each needs its fourth block
    state.available = 0;
    const Plan plan = state.Schedule(scheduler);
    CHECK(plan.preempted == std::vector<int32_t>{2});
    CHECK(RunningRows(plan) == Rows{{0, 1}, {1, 1}});
  }
  SECTION("task 1 is ahead") {
    SchedulerState before;
    before.Prompting(1, 1, 4000, 0);
    before.Waiting(0, 2, 4000);  // never fits: task 0 goes short, task 1 gets ahead
    before.available = 9;
    before.Schedule(scheduler);
    CHECK(scheduler.deficit(0) == 0.0);
    CHECK(scheduler.deficit(1) == -64.0);
    state.Decoding(0, 0, 49);
    state.Decoding(1, 1, 49);
    state.Decoding(0, 2, 49);
    state.available = 0;
    CHECK(state.Schedule(scheduler).preempted == std::vector<int32_t>{1});
  }
}

TEST_CASE("The oldest sequence is never preempted, a paused one first of all") {
  Scheduler scheduler = MakeScheduler({{}}, {.total_blocks = 6});
  SchedulerState state;
  state.Decoding(0, 5, 33);  // admitted first, but younger
  state.Decoding(0, 3, 33);
  state.Decoding(0, 4, 33);
  state.available = 0;
  Plan plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{2});
  CHECK(RunningRows(plan) == Rows{{0, 1}, {1, 1}});
  state.running[0].paused = true;
  plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{0});
  CHECK(RunningRows(plan) == Rows{{1, 1}, {2, 1}});
  state.running[0].paused = false;
  state.running[1].paused = true;  // the oldest, but it cannot run
  CHECK(state.Schedule(scheduler).preempted == std::vector<int32_t>{1});
}

TEST_CASE("Victims are taken until the rest can grow, shared blocks or not") {
  Scheduler scheduler = MakeScheduler({{}}, {.total_blocks = 4});
  SchedulerState state;
  for (uint64_t i = 0; i < 3; ++i) {
    SequenceView& view = state.Decoding(0, i, 33);
    view.private_blocks = 0;  // all three share the same two blocks
  }
  state.running[0].private_blocks = 0;
  state.available = 2;  // the two that nobody holds; three are needed
  const Plan plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{2});
  CHECK(RunningRows(plan) == Rows{{0, 1}, {1, 1}});
}

TEST_CASE("The oldest prompt preempts to get on") {
  Scheduler scheduler = MakeScheduler({{}}, {.token_budget = 64, .prefill_chunk = 32, .total_blocks = 8});
  SchedulerState state;
  state.Prompting(0, 1, 96, 32);
  state.Decoding(0, 2, 80);
  state.available = 1;
  const Plan plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{1});
  CHECK(RunningRows(plan) == Rows{{0, 32}});
}

TEST_CASE("Where all blocks that can be had are too few for the oldest, it waits and keeps what it has") {
  Scheduler scheduler = MakeScheduler({{}}, {.total_blocks = 5});
  SchedulerState state;
  state.Decoding(0, 1, 33);  // has two blocks and needs a third
  state.available = 0;
  state.missing = 3;
  Plan plan = state.Schedule(scheduler);
  CHECK(plan.preempted.empty());
  CHECK(plan.grants.empty());
  SECTION("unless another one has blocks to give") {
    state.Decoding(0, 2, 17);
    state.missing = 2;
    plan = state.Schedule(scheduler);
    CHECK(plan.preempted == std::vector<int32_t>{1});
    CHECK(RunningRows(plan) == Rows{{0, 1}});
  }
  SECTION("and nobody is admitted past it") {
    state.Waiting(0, 5, 10);
    CHECK(state.Schedule(scheduler).grants.empty());
  }
  SECTION("until there is one more") {
    state.available = 1;
    state.missing = 2;
    CHECK(RunningRows(state.Schedule(scheduler)) == Rows{{0, 1}});
  }
}

TEST_CASE("A prompt gets on by the rows for which there are blocks") {
  Scheduler scheduler = MakeScheduler({{}}, {.token_budget = 64, .prefill_chunk = 32, .total_blocks = 8});
  SchedulerState state;
  state.Prompting(0, 1, 96, 32);
  state.available = 1;
  state.missing = 5;
  CHECK(RunningRows(state.Schedule(scheduler)) == Rows{{0, 16}});
}

TEST_CASE("Reserved blocks are for those that run: nobody is admitted on them") {
  Scheduler scheduler = MakeScheduler({{}}, {.token_budget = 64, .prefill_chunk = 32, .total_blocks = 100});
  SchedulerState state;
  state.Decoding(0, 1, 33);
  state.Waiting(0, 2, 20);
  state.available = 10;
  state.reserved = 10;
  Plan plan = state.Schedule(scheduler);
  CHECK(RunningRows(plan) == Rows{{0, 1}});
  CHECK(AdmittedRows(plan).empty());
  state.reserved = 5;  // one to grow, one to grow into, two for the prompt
  plan = state.Schedule(scheduler);
  CHECK(AdmittedRows(plan) == Rows{{0, 20}});
}

}  // namespace
}  // namespace guildhall
