// The scheduler's rules as tables: a state, and the plan that must follow.
#include "engine/scheduler.h"

#include <catch2/catch.hpp>
#include <map>

namespace guildhall {
namespace {

// A state under construction; sequences are named by their index.
struct State {
  std::vector<SequenceView> running, waiting;
  int64_t available = 1000, missing = 0, reserved = 0;
  std::vector<PrefixHit> hits;  // of waiting; missing: none

  // A sequence that decodes its `length`-th token.
  SequenceView& Decoding(int32_t task, uint64_t arrival, int32_t length = 20) {
    return Prompting(task, arrival, length, length - 1);
  }
  SequenceView& Prompting(int32_t task, uint64_t arrival, int32_t length, int32_t computed) {
    const int32_t blocks = (computed + 15) / 16;
    running.push_back({.task = task,
                       .arrival = arrival,
                       .length = length,
                       .first_output = length - 1,
                       .computed = computed,
                       .admission = running.size(),
                       .blocks = blocks,
                       .private_blocks = blocks});
    return running.back();
  }
  SequenceView& Waiting(int32_t task, uint64_t arrival, int32_t length) {
    waiting.push_back({.task = task, .arrival = arrival, .length = length, .first_output = length - 1});
    return waiting.back();
  }

  Plan Schedule(Scheduler& scheduler) const {
    Plan plan;
    scheduler.Schedule({.running = running,
                        .waiting = waiting,
                        .available_blocks = available,
                        .missing_blocks = missing,
                        .reserved_blocks = reserved,
                        .find_prefix =
                            [&](int32_t i) {
                              return static_cast<size_t>(i) < hits.size() ? hits[static_cast<size_t>(i)]
                                                                          : PrefixHit{};
                            }},
                       plan);
    return plan;
  }
};

using Rows = std::map<int32_t, int32_t>;  // sequence -> rows

Rows Granted(const Plan& plan, bool admitted) {
  Rows rows;
  for (const RowGrant& grant : plan.grants) {
    if (grant.admitted == admitted) rows[grant.sequence] = grant.rows;
  }
  return rows;
}

Rows Running(const Plan& plan) {
  return Granted(plan, false);
}
Rows Admitted(const Plan& plan) {
  return Granted(plan, true);
}

Scheduler Make(std::vector<SchedulerTask> tasks = {{}}, SchedulerLimits limits = {.total_blocks = 1000}) {
  return Scheduler(limits, std::move(tasks));
}

TEST_CASE("An empty state has an empty plan") {
  Scheduler scheduler = Make();
  CHECK(State{}.Schedule(scheduler).grants.empty());
}

TEST_CASE("A short prompt is admitted whole, a long one in chunks") {
  Scheduler scheduler = Make({{}}, {.token_budget = 100, .prefill_chunk = 60, .total_blocks = 1000});
  State state;
  state.Waiting(0, 1, 10);
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 10}});
  state.waiting.clear();
  state.Waiting(0, 1, 500);
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 60}});
}

TEST_CASE("Every decoding sequence gets its row before prompts share the rest") {
  Scheduler scheduler = Make({{}, {}}, {.token_budget = 40, .prefill_chunk = 256, .total_blocks = 1000});
  State state;
  for (int i = 0; i < 5; ++i) state.Decoding(0, static_cast<uint64_t>(i));
  state.Waiting(1, 9, 400);
  const Plan plan = state.Schedule(scheduler);
  CHECK(Running(plan) == Rows{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}});
  CHECK(Admitted(plan) == Rows{{0, 35}});
}

TEST_CASE("A prompt in progress comes before the queue of its task") {
  Scheduler scheduler = Make({{}}, {.token_budget = 50, .prefill_chunk = 40, .total_blocks = 1000});
  State state;
  state.Prompting(0, 1, 200, 40);
  state.Waiting(0, 2, 200);
  const Plan plan = state.Schedule(scheduler);
  CHECK(Running(plan) == Rows{{0, 40}});
  CHECK(Admitted(plan) == Rows{{0, 10}});
}

TEST_CASE("Tasks of equal weight share the rows equally, whatever the length of their queues") {
  Scheduler scheduler = Make({{}, {}}, {.token_budget = 128, .prefill_chunk = 128, .total_blocks = 1000});
  State state;
  for (uint64_t i = 0; i < 9; ++i) state.Waiting(0, i, 100);
  state.Waiting(1, 9, 100);
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 64}, {9, 64}});
}

TEST_CASE("A task of weight 3 gets three times the rows of a task of weight 1") {
  Scheduler scheduler = Make({{.weight = 3.0}, {.weight = 1.0}}, {.token_budget = 128, .total_blocks = 1000});
  State state;
  state.Waiting(0, 1, 1000);
  state.Waiting(1, 2, 1000);
  // Rounds of 32 and 32/3 rows: 32 + 10 + 32 + 11 + 32 + 11.
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 96}, {1, 32}});
}

TEST_CASE("The rows of a task are neighbours in the plan") {
  Scheduler scheduler = Make({{}, {}, {}});
  State state;
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
  Scheduler scheduler = Make();
  State state;
  state.Decoding(0, 1).paused = true;
  state.Decoding(0, 2);
  state.Waiting(0, 3, 10).paused = true;
  state.Waiting(0, 4, 10);
  const Plan plan = state.Schedule(scheduler);
  CHECK(Running(plan) == Rows{{1, 1}});
  CHECK(Admitted(plan) == Rows{{1, 10}});
  CHECK(plan.preempted.empty());
}

TEST_CASE("A task's own bound on running sequences holds its queue, not that of others") {
  Scheduler scheduler = Make({{.max_running = 2}, {}});
  State state;
  state.Decoding(0, 1);
  state.Decoding(0, 2);
  state.Waiting(0, 3, 10);
  state.Waiting(1, 4, 10);
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{1, 10}});
  CHECK(scheduler.deficit(0) == 0.0);  // its own limit is no injustice
}

TEST_CASE("No more sequences run than may, a paused one makes room") {
  Scheduler scheduler = Make({{}}, {.max_running = 2, .total_blocks = 1000});
  State state;
  state.Decoding(0, 1);
  state.Decoding(0, 2);
  state.Waiting(0, 3, 10);
  Plan plan = state.Schedule(scheduler);
  CHECK(Admitted(plan).empty());
  CHECK(plan.preempted.empty());
  state.running[0].paused = true;
  plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{0});
  CHECK(Admitted(plan) == Rows{{0, 10}});
}

TEST_CASE("Logit rows bound a step: decodes take turns, the one that waited longest first") {
  Scheduler scheduler = Make({{}}, {.max_outputs = 2, .total_blocks = 1000});
  State state;
  for (uint64_t i = 0; i < 4; ++i) state.Decoding(0, i).last_step = 10 - i;
  CHECK(Running(state.Schedule(scheduler)) == Rows{{2, 1}, {3, 1}});
}

TEST_CASE("A prompt whose logits are all wanted goes as fast as logit rows allow") {
  Scheduler scheduler = Make({{}}, {.max_outputs = 8, .total_blocks = 1000});
  State state;
  state.Decoding(0, 1);
  state.Prompting(0, 2, 100, 32).first_output = 0;
  CHECK(Running(state.Schedule(scheduler)) == Rows{{0, 1}, {1, 7}});
  state.running[1].first_output = 40;  // eight rows without, then seven with
  CHECK(Running(state.Schedule(scheduler)) == Rows{{0, 1}, {1, 15}});
}

TEST_CASE("A prompt is admitted when all its blocks are there beside one for each running sequence") {
  Scheduler scheduler = Make();
  State state;
  state.Decoding(0, 1);
  state.Waiting(0, 2, 40);  // three blocks
  state.available = 3;
  CHECK(Admitted(state.Schedule(scheduler)).empty());
  state.available = 4;
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 40}});
  state.running.clear();
  state.available = 3;
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 40}});
}

TEST_CASE("Blocks that a running prompt still needs are not given to a new one") {
  Scheduler scheduler = Make({{}}, {.token_budget = 40, .prefill_chunk = 16, .total_blocks = 1000});
  State state;
  state.Prompting(0, 1, 160, 16);  // nine more blocks
  state.Waiting(0, 2, 16);
  state.available = 10;
  CHECK(Admitted(state.Schedule(scheduler)).empty());
  state.available = 11;
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 16}});
}

TEST_CASE("A prefix hit saves its rows, blocks that it shares with a running sequence cost nothing") {
  Scheduler scheduler = Make();
  State state;
  state.Decoding(0, 1);
  state.Waiting(0, 2, 40);
  state.hits = {{.blocks = 2, .unreferenced = 0}};
  state.available = 2;  // one to compute in, one for the running sequence
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 8}});
  state.hits = {{.blocks = 2, .unreferenced = 2}};
  CHECK(Admitted(state.Schedule(scheduler)).empty());
  state.available = 4;
  CHECK(Admitted(state.Schedule(scheduler)) == Rows{{0, 8}});
}

TEST_CASE("A head of a queue that finds no blocks closes admission for all behind it") {
  Scheduler scheduler = Make({{}, {}});
  State state;
  state.Decoding(0, 1);
  state.Waiting(0, 2, 800);
  state.Waiting(0, 3, 10);
  state.Waiting(1, 4, 10);
  state.available = 20;
  CHECK(Admitted(state.Schedule(scheduler)).empty());
}

TEST_CASE("When decoding runs out of blocks the last admitted of the most over-served task is preempted") {
  Scheduler scheduler = Make({{}, {}}, {.token_budget = 64, .total_blocks = 9});
  State state;
  SECTION("equal service: the last admitted of all") {
    for (uint64_t i = 0; i < 3; ++i) state.Decoding(i == 1 ? 1 : 0, i, 49);  // each needs its fourth block
    state.available = 0;
    const Plan plan = state.Schedule(scheduler);
    CHECK(plan.preempted == std::vector<int32_t>{2});
    CHECK(Running(plan) == Rows{{0, 1}, {1, 1}});
  }
  SECTION("task 1 is ahead") {
    State before;
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
  Scheduler scheduler = Make({{}}, {.total_blocks = 6});
  State state;
  state.Decoding(0, 5, 33);  // admitted first, but younger
  state.Decoding(0, 3, 33);
  state.Decoding(0, 4, 33);
  state.available = 0;
  Plan plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{2});
  CHECK(Running(plan) == Rows{{0, 1}, {1, 1}});
  state.running[0].paused = true;
  plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{0});
  CHECK(Running(plan) == Rows{{1, 1}, {2, 1}});
  state.running[0].paused = false;
  state.running[1].paused = true;  // the oldest, but it cannot run
  CHECK(state.Schedule(scheduler).preempted == std::vector<int32_t>{1});
}

TEST_CASE("Victims are taken until the rest can grow, shared blocks or not") {
  Scheduler scheduler = Make({{}}, {.total_blocks = 4});
  State state;
  for (uint64_t i = 0; i < 3; ++i) {
    SequenceView& view = state.Decoding(0, i, 33);
    view.private_blocks = 0;  // all three share the same two blocks
  }
  state.running[0].private_blocks = 0;
  state.available = 2;  // the two that nobody holds; three are needed
  const Plan plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{2});
  CHECK(Running(plan) == Rows{{0, 1}, {1, 1}});
}

TEST_CASE("The oldest prompt preempts to get on") {
  Scheduler scheduler = Make({{}}, {.token_budget = 64, .prefill_chunk = 32, .total_blocks = 8});
  State state;
  state.Prompting(0, 1, 96, 32);
  state.Decoding(0, 2, 80);
  state.available = 1;
  const Plan plan = state.Schedule(scheduler);
  CHECK(plan.preempted == std::vector<int32_t>{1});
  CHECK(Running(plan) == Rows{{0, 32}});
}

TEST_CASE("Where all blocks that can be had are too few for the oldest, it waits and keeps what it has") {
  Scheduler scheduler = Make({{}}, {.total_blocks = 5});
  State state;
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
    CHECK(Running(plan) == Rows{{0, 1}});
  }
  SECTION("and nobody is admitted past it") {
    state.Waiting(0, 5, 10);
    CHECK(state.Schedule(scheduler).grants.empty());
  }
  SECTION("until there is one more") {
    state.available = 1;
    state.missing = 2;
    CHECK(Running(state.Schedule(scheduler)) == Rows{{0, 1}});
  }
}

TEST_CASE("A prompt gets on by the rows for which there are blocks") {
  Scheduler scheduler = Make({{}}, {.token_budget = 64, .prefill_chunk = 32, .total_blocks = 8});
  State state;
  state.Prompting(0, 1, 96, 32);
  state.available = 1;
  state.missing = 5;
  CHECK(Running(state.Schedule(scheduler)) == Rows{{0, 16}});
}

TEST_CASE("Reserved blocks are for those that run: nobody is admitted on them") {
  Scheduler scheduler = Make({{}}, {.token_budget = 64, .prefill_chunk = 32, .total_blocks = 100});
  State state;
  state.Decoding(0, 1, 33);
  state.Waiting(0, 2, 20);
  state.available = 10;
  state.reserved = 10;
  Plan plan = state.Schedule(scheduler);
  CHECK(Running(plan) == Rows{{0, 1}});
  CHECK(Admitted(plan).empty());
  state.reserved = 5;  // one to grow, one to grow into, two for the prompt
  plan = state.Schedule(scheduler);
  CHECK(Admitted(plan) == Rows{{0, 20}});
}

TEST_CASE("A step in which all got what they could take forgives all debts") {
  Scheduler scheduler = Make({{}, {}}, {.token_budget = 64, .total_blocks = 1000});
  State state;
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
  Scheduler scheduler = Make({{}, {}}, limits);
  State state;
  for (uint64_t i = 0; i < 7; ++i) state.Decoding(0, i);
  state.Waiting(1, 9, 15000);
  int64_t first = 0, second = 0;
  for (int step = 0; step < 400; ++step) {
    const Plan plan = state.Schedule(scheduler);
    for (const auto& [sequence, rows] : Running(plan)) {
      first += rows;
      state.running[static_cast<size_t>(sequence)].last_step = static_cast<uint64_t>(step);
    }
    for (const auto& [sequence, rows] : Admitted(plan)) second += rows;
  }
  CHECK(first + second == 400 * 8);
  CHECK(first - second <= static_cast<int64_t>(Scheduler::kCredit * 8) + 2 * 32);
}

}  // namespace
}  // namespace guildhall
