// The scheduler over many steps: shares, progress, an end for everybody.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "engine/scheduler.h"
#include "kernels/ops.h"

namespace guildhall {
namespace {

int32_t BlocksFor(int32_t tokens) {
  return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
}

struct Work {
  int32_t prompt = 0;
  int32_t outputs = 0;  // to be made
  int32_t drafts = 0;   // that it would like to try when it decodes
};

// Plays the engine: keeps the books, carries plans out, and checks each against them.
class World {
 public:
  World(const SchedulerLimits& limits, std::vector<SchedulerTask> tasks)
      : limits_(limits), tasks_(tasks), scheduler_(limits, tasks), served_(tasks.size()) {}

  void Add(int32_t task, Work work) {
    work_.push_back(work);
    waiting_.push_back({.task = task,
                        .arrival = work_.size() - 1,
                        .length = work.prompt,
                        .first_output = work.prompt - 1,
                        .drafts = work.drafts});
  }
  void Put(int32_t task, const SchedulerTask& policy, bool fresh) {
    if (tasks_.size() <= static_cast<size_t>(task)) {
      tasks_.resize(static_cast<size_t>(task) + 1);
      served_.resize(tasks_.size());
    }
    tasks_[static_cast<size_t>(task)] = policy;
    scheduler_.PutTask(task, policy, fresh);
  }
  void Remove(int32_t task) { scheduler_.RemoveTask(task); }
  void BoundRows(int64_t rows) { prompt_rows_ = rows; }
  // Returns the rows of the step.
  // `missing`, `reserved`: of the free blocks.
  int64_t Step(int64_t missing = 0, int64_t reserved = 0) {
    ++step_;
    Plan plan;
    ByTask slot_use(*this);
    scheduler_.Schedule({.running = running_,
                         .waiting = waiting_,
                         .available_blocks = free() - missing,
                         .missing_blocks = missing,
                         .reserved_blocks = reserved,
                         .find_prefix = [](int32_t) { return PrefixHit{}; },
                         .prompt_rows = prompt_rows_,
                         .slot_use = &slot_use},
                        plan);
    for (const int32_t i : plan.overtaken) {
      REQUIRE(++waiting_[static_cast<size_t>(i)].overtaken <= limits_.co_batching_patience);
    }
    CarryOut(plan, missing);
    int64_t rows = 0;
    for (const RowGrant& grant : plan.grants) rows += grant.rows;
    return rows;
  }

  int64_t free() const {
    int64_t held = 0;
    for (const SequenceView& view : running_) held += view.blocks;
    return limits_.total_blocks - held;
  }
  bool idle() const { return running_.empty() && waiting_.empty(); }
  size_t waiting(int32_t task) const {
    return static_cast<size_t>(std::count_if(waiting_.begin(), waiting_.end(),
                                             [&](const SequenceView& v) { return v.task == task; }));
  }
  double served(size_t task) const { return served_[task]; }
  int64_t preemptions() const { return preemptions_; }
  int64_t drafted() const { return drafted_; }
  // Readers: some are slow. A sequence pauses only after an output, and until its reader comes back.
  void Read(std::mt19937& random) {
    for (SequenceView& view : running_) {
      const bool made_output = view.length > work_[view.arrival].prompt && view.computed == view.length - 1;
      view.paused = view.paused ? random() % 20 != 0 : made_output && random() % 4 == 0;
    }
    for (SequenceView& view : waiting_) view.paused = view.paused && random() % 20 != 0;
  }

 private:
  // Tasks share experts when they are both odd or both even.
  class ByTask final : public SlotUse {
   public:
    explicit ByTask(const World& world) : world_(world) {
      for (const SequenceView& view : world.running_) ++running_[view.task % 2];
    }
    int64_t Added(int32_t waiting) override { return running_[TaskOf(waiting) % 2] > 0 ? 0 : 10; }
    void Admitted(int32_t waiting) override { ++running_[TaskOf(waiting) % 2]; }

   private:
    int32_t TaskOf(int32_t waiting) const { return world_.waiting_[static_cast<size_t>(waiting)].task; }
    const World& world_;
    int running_[2] = {0, 0};
  };

  void CarryOut(const Plan& plan, int64_t missing) {
    int64_t rows = 0, outputs = 0;
    std::vector<SequenceView> admitted, preempted;
    for (const int32_t i : plan.preempted) preempted.push_back(running_[static_cast<size_t>(i)]);
    for (const RowGrant& grant : plan.grants) {
      REQUIRE(grant.rows > 0);
      REQUIRE(grant.rows <= limits_.prefill_chunk);
      REQUIRE((grant.admitted || std::find(plan.preempted.begin(), plan.preempted.end(), grant.sequence) ==
                                     plan.preempted.end()));
      SequenceView& view = (grant.admitted ? waiting_ : running_)[static_cast<size_t>(grant.sequence)];
      REQUIRE_FALSE(view.paused);
      const bool decodes = !grant.admitted && view.length - view.computed == 1;
      REQUIRE(grant.rows <= view.length - view.computed + (decodes ? view.drafts : 0));
      view.blocks = view.private_blocks = std::max(view.blocks, BlocksFor(view.computed + grant.rows));
      view.last_step = step_;
      rows += grant.rows;
      served_[static_cast<size_t>(view.task)] += grant.rows;
      const int32_t drafted = std::max(0, view.computed + grant.rows - view.length);
      drafted_ += drafted;
      view.computed += grant.rows - drafted;
      if (view.computed == view.length) {
        // Every other draft is right.
        const int32_t right = (drafted + static_cast<int32_t>(step_ % 2)) / 2;
        outputs += 1 + drafted;
        view.computed += right;
        view.length += right + 1;
        view.first_output = view.length - 1;
        const Work& work = work_[view.arrival];
        view.drafts = std::clamp(work.prompt + work.outputs - view.length - 1, 0, work.drafts);
      }
      if (grant.admitted) {
        view.admission = next_admission_++;
        admitted.push_back(view);
      }
    }
    REQUIRE(rows <= limits_.token_budget);
    REQUIRE(outputs <= limits_.max_outputs);
    const auto moved = [&](const std::vector<SequenceView>& list) {
      return [&](const SequenceView& view) {
        return std::any_of(list.begin(), list.end(),
                           [&](const auto& other) { return other.arrival == view.arrival; });
      };
    };
    std::erase_if(running_, moved(preempted));
    std::erase_if(waiting_, moved(admitted));
    running_.insert(running_.end(), admitted.begin(), admitted.end());
    for (SequenceView view : preempted) {
      view.computed = view.blocks = view.private_blocks = 0;
      waiting_.push_back(view);
      ++preemptions_;
    }
    std::sort(waiting_.begin(), waiting_.end(),
              [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
    std::erase_if(running_, [&](const SequenceView& view) {
      return view.length - work_[view.arrival].prompt >= work_[view.arrival].outputs;
    });
    REQUIRE(free() >= missing);
    REQUIRE(static_cast<int>(running_.size()) <= limits_.max_running);
    for (size_t t = 0; t < tasks_.size(); ++t) {
      REQUIRE(std::count_if(running_.begin(), running_.end(), [&](const auto& v) {
                return v.task == static_cast<int32_t>(t);
              }) <= tasks_[t].max_running);
    }
  }

  const SchedulerLimits limits_;
  std::vector<SchedulerTask> tasks_;
  Scheduler scheduler_;
  std::vector<Work> work_;  // by arrival
  std::vector<SequenceView> running_, waiting_;
  std::vector<double> served_;
  uint64_t step_ = 0, next_admission_ = 0;
  int64_t preemptions_ = 0, drafted_ = 0;
  int64_t prompt_rows_ = 1 << 20;
};

TEST_CASE("Tasks that always want more get rows by their weights, up to a bound that does not grow") {
  const std::vector<double> weights =
      GENERATE(std::vector<double>{1, 1}, std::vector<double>{1, 3, 0.5}, std::vector<double>{10, 0.1},
               std::vector<double>{0.01, 0.02, 0.01});
  const int token_budget = GENERATE(8, 64, 512);
  const bool long_outputs = GENERATE(false, true);
  const int32_t drafts = GENERATE(0, 5);
  // Rows alone are short: places, blocks and logit rows are there for all.
  const SchedulerLimits limits{.max_running = 2000,
                               .token_budget = token_budget,
                               .prefill_chunk = 256,
                               .max_outputs = 2000,
                               .total_blocks = 100000,
                               .co_batching_patience = drafts};
  std::vector<SchedulerTask> tasks;
  for (const double weight : weights) tasks.push_back({.weight = weight, .max_running = 2000});
  World world(limits, tasks);
  if (drafts > 0) world.BoundRows(token_budget / 2);
  std::mt19937 random(5);
  const double largest = *std::max_element(weights.begin(), weights.end());
  const double smallest = *std::min_element(weights.begin(), weights.end());
  // In rows of the heaviest task: the credit, what a step may overshoot, and a round of the lightest task.
  const double bound =
      Scheduler::kCredit * token_budget + 2 * (token_budget + Scheduler::kQuantum) * largest / smallest;
  double worst = 0.0;
  for (int step = 0; step < 1000; ++step) {
    for (size_t t = 0; t < tasks.size(); ++t) {
      while (world.waiting(static_cast<int32_t>(t)) < 120) {
        // The first task's requests are of another kind than the others'.
        const int32_t prompt = 1 + static_cast<int32_t>(random() % (t == 0 ? 20 : 600));
        world.Add(
            static_cast<int32_t>(t),
            {prompt, 1 + static_cast<int32_t>(random() % (long_outputs ? 40 : 3)), t == 0 ? drafts : 0});
      }
    }
    world.Step();
    for (size_t i = 0; i < tasks.size(); ++i) {
      for (size_t j = 0; j < tasks.size(); ++j) {
        worst = std::max(worst, (world.served(i) / weights[i] - world.served(j) / weights[j]) * largest);
      }
    }
  }
  CAPTURE(weights, token_budget, long_outputs, drafts, worst, bound);
  CHECK(worst <= bound);
  for (size_t i = 0; i < tasks.size(); ++i) CHECK(world.served(i) > 0);
}

TEST_CASE("Everything that is asked for ends, however few blocks, rows and logit rows there are") {
  const uint32_t seed = GENERATE(range(1u, 13u));
  std::mt19937 random(seed);
  const auto below = [&](uint32_t n) { return static_cast<int>(random() % n); };
  const SchedulerLimits limits{.max_running = 1 + below(12),
                               .token_budget = 1 + below(60),
                               .prefill_chunk = 1 + below(40),
                               .max_outputs = 1 + below(6),
                               .total_blocks = 8 + below(12),
                               .co_batching_patience = below(4)};
  World world(limits, {{.weight = 1.0, .max_running = 1 + below(8)},
                       {.weight = 5.0, .max_running = 1 + below(8)},
                       {.weight = 0.05, .max_running = 8}});
  int64_t tokens = 0;
  for (int i = 0; i < 120; ++i) {
    Work work{1 + below(90), 1 + below(38), below(5)};  // at most 127 places of 128
    world.Add(below(3), work);
    tokens += work.prompt + work.outputs;
  }
  CAPTURE(seed, limits.max_running, limits.token_budget, limits.prefill_chunk, limits.total_blocks);
  const bool pauses = seed % 2 == 0;
  int64_t steps = 0, idle_steps = 0;
  if (seed % 3 == 0) world.BoundRows(1 + below(20));
  while (!world.idle()) {
    if (pauses) world.Read(random);
    const int64_t rows = world.Step();
    if (rows == 0) ++idle_steps;
    if (!pauses) REQUIRE(rows > 0);  // where nobody is paused every step does something
    REQUIRE(++steps < 100 * tokens);
  }
  CHECK(world.free() == limits.total_blocks);
  CHECK(idle_steps < steps);
}

TEST_CASE("Everything ends as well where the blocks that can be had come and go") {
  const uint32_t seed = GENERATE(range(1u, 13u));
  std::mt19937 random(seed);
  const auto below = [&](int64_t n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  const SchedulerLimits limits{.max_running = 1 + below(12),
                               .token_budget = 1 + below(60),
                               .prefill_chunk = 1 + below(40),
                               .max_outputs = 1 + below(6),
                               .total_blocks = 8 + below(12),
                               .co_batching_patience = below(4)};
  World world(limits, {{.weight = 1.0, .max_running = 1 + below(8)}, {.weight = 5.0}});
  for (int i = 0; i < 100; ++i) world.Add(below(2), {1 + below(90), 1 + below(38), below(5)});
  CAPTURE(seed, limits.max_running, limits.token_budget, limits.prefill_chunk, limits.total_blocks);
  int64_t steps = 0, missing = 0;
  while (!world.idle()) {
    if (seed % 3 == 0) world.Read(random);
    // Others take some of what is free, or give some back; what a sequence holds nobody takes.
    if (random() % 8 == 0) missing = below(limits.total_blocks + 1);
    missing = std::min(missing, world.free());
    world.Step(missing, random() % 4 == 0 ? world.free() - missing : 0);
    REQUIRE(++steps < 2000000);
  }
  CHECK(world.free() == limits.total_blocks);
}

TEST_CASE("Tasks that come, change and go share by the weights of the moment") {
  const SchedulerLimits limits{.max_running = 2000,
                               .token_budget = 64,
                               .prefill_chunk = 64,
                               .max_outputs = 2000,
                               .total_blocks = 100000};
  World world(limits, {{.weight = 1.0, .max_running = 2000}});
  std::mt19937 random(3);
  // Rows of tasks 0 and 1 over many steps in which both always want.
  const auto share = [&](double expected) {
    const double before[] = {world.served(0), world.served(1)};
    for (int step = 0; step < 2000; ++step) {
      for (const int32_t task : {0, 1}) {
        while (world.waiting(task) < 70) world.Add(task, {1 + static_cast<int32_t>(random() % 60), 1});
      }
      world.Step();
    }
    CHECK((world.served(1) - before[1]) / (world.served(0) - before[0]) == Approx(expected).epsilon(0.02));
  };
  const auto drain = [&] {
    while (!world.idle()) world.Step();
  };
  for (int step = 0; step < 10; ++step) {
    world.Add(0, {10, 3});
    world.Step();
  }
  world.Put(1, {.weight = 3.0, .max_running = 2000}, /*fresh=*/true);
  share(3.0);
  world.Put(1, {.weight = 0.5, .max_running = 2000}, /*fresh=*/false);
  share(0.5);
  world.Put(0, {.weight = 0.25, .max_running = 2000}, /*fresh=*/false);
  share(2.0);
  // Another task at the same index, with the largest weight until it goes.
  drain();
  world.Remove(1);
  world.Put(2, {.weight = 1000.0, .max_running = 2000}, /*fresh=*/true);
  world.Put(1, {.weight = 0.25, .max_running = 2000}, /*fresh=*/true);
  world.Add(2, {30, 3});
  share(1.0);
  drain();
  world.Remove(2);
  share(1.0);
}

TEST_CASE("A large prompt is not starved by a stream of small ones of another task") {
  const SchedulerLimits limits{
      .max_running = 16, .token_budget = 64, .prefill_chunk = 32, .total_blocks = 40};
  World world(limits, {{}, {}});
  int steps = 0;
  const auto feed = [&] {
    while (world.waiting(1) < 8) world.Add(1, {8, 20});
  };
  for (; steps < 50; ++steps) {
    feed();
    world.Step();
  }
  world.Add(0, {560, 4});  // 35 of 40 blocks
  while (world.waiting(0) > 0) {
    feed();
    world.Step();
    REQUIRE(++steps < 200);
  }
}

}  // namespace
}  // namespace guildhall
