// Sequences that share experts beside each other: how much is shared, and that nobody waits for it too long.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "engine/engine.h"
#include "engine/expert_sharing.h"
#include "engine/kv_blocks.h"
#include "engine/scheduler.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

using Maps = std::vector<std::vector<int32_t>>;  // by layer; empty: the base's experts

std::shared_ptr<const AdapterSet> SetOf(const Maps& maps) {
  auto set = std::make_shared<AdapterSet>();
  static uint64_t id = 0;
  set->id = ++id;
  for (const auto& map : maps) {
    set->layers.emplace_back();
    set->layers.back().expert_map = map;
  }
  return set;
}

TEST_CASE("Added slots by hand: four experts, two layers") {
  const auto low_rank = SetOf({{}, {}});
  const auto one = SetOf({{0, 4, 2, 3}, {}});            // replaces expert 1 of layer 0
  const auto two = SetOf({{0, 5, 6, 3}, {4, 1, 2, 3}});  // experts 1 and 2 of layer 0, 0 of layer 1
  const auto all = SetOf({{10, 11, 12, 13}, {10, 11, 12, 13}});
  ExpertSharing sharing;
  CHECK(sharing.Added(two.get()) == 0);  // nobody runs: nothing to share
  sharing.Add(nullptr);
  CHECK(sharing.Added(nullptr) == 0);
  CHECK(sharing.Added(low_rank.get()) == 0);
  CHECK(sharing.Added(one.get()) == 1);
  CHECK(sharing.Added(two.get()) == 3);
  CHECK(sharing.Added(all.get()) == 8);
  sharing.Add(two.get());
  CHECK(sharing.Added(two.get()) == 0);
  CHECK(sharing.Added(one.get()) == 1);
  sharing.Clear();
  sharing.Add(one.get());
  CHECK(sharing.Added(nullptr) == 1);  // the base's own expert 1 of layer 0
  CHECK(sharing.Added(low_rank.get()) == 1);
  CHECK(sharing.Added(two.get()) == 3);
  sharing.Clear();
  sharing.Add(all.get());
  CHECK(sharing.Added(nullptr) == 8);
  CHECK(sharing.Added(one.get()) == 8);
  sharing.Add(one.get());
  CHECK(sharing.Added(nullptr) == 1);
}

TEST_CASE("Added slots equal a count of distinct (layer, expert, slot)") {
  std::mt19937 random(7);
  constexpr int kLayers = 3, kExperts = 6;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::shared_ptr<const AdapterSet>> sets = {nullptr};
    int32_t slot = kExperts;
    for (int s = 0; s < 5; ++s) {
      Maps maps(kLayers);
      for (auto& map : maps) {
        if (random() % 3 == 0) continue;
        for (int32_t e = 0; e < kExperts; ++e) map.push_back(random() % 2 == 0 ? e : slot++);
      }
      sets.push_back(SetOf(maps));
    }
    const auto slots_of = [&](const AdapterSet* set) {
      std::set<std::tuple<int, int, int32_t>> slots;
      for (int l = 0; l < kLayers; ++l) {
        for (int e = 0; e < kExperts; ++e) {
          const bool own = set != nullptr && !set->layers[static_cast<size_t>(l)].expert_map.empty();
          slots.emplace(l, e,
                        own ? set->layers[static_cast<size_t>(l)].expert_map[static_cast<size_t>(e)] : e);
        }
      }
      return slots;
    };
    ExpertSharing sharing;
    std::set<std::tuple<int, int, int32_t>> in_use;
    for (int step = 0; step < 4; ++step) {
      for (const auto& set : sets) {
        int64_t expected = 0;
        for (const auto& s : slots_of(set.get())) expected += in_use.contains(s) ? 0 : 1;
        REQUIRE(sharing.Added(set.get()) == (in_use.empty() ? 0 : expected));
      }
      const AdapterSet* next = sets[random() % sets.size()].get();
      sharing.Add(next);
      const auto slots = slots_of(next);
      in_use.insert(slots.begin(), slots.end());
    }
  }
}

// Plays the engine with sequences of a short prompt and a few outputs. A sequence's set is its task's group.
class House final : public SlotUse {
 public:
  House(int tasks, int groups, int places, int patience)
      : scheduler_({.max_running = places,
                    .token_budget = 256,
                    .total_blocks = 1000,
                    .max_tasks = static_cast<size_t>(tasks),
                    .co_batching_patience = patience},
                   std::vector<SchedulerTask>(static_cast<size_t>(tasks))),
        groups_(groups) {}

  uint64_t Add(int32_t task, int outputs) {
    waiting_.push_back({.task = task, .arrival = arrivals_, .length = 8, .first_output = 7});
    outputs_[arrivals_] = outputs;
    return arrivals_++;
  }
  int GroupOf(int32_t task) const { return task % groups_; }
  int64_t Added(int32_t waiting) override {
    const int group = GroupOf(waiting_[static_cast<size_t>(waiting)].task);
    return in_use_.empty() || in_use_.contains(group) ? 0 : 100;
  }
  void Admitted(int32_t waiting) override {
    in_use_.insert(GroupOf(waiting_[static_cast<size_t>(waiting)].task));
  }

  // Returns the arrivals that were admitted.
  std::vector<uint64_t> Step() {
    in_use_.clear();
    for (const SequenceView& view : running_) in_use_.insert(GroupOf(view.task));
    Plan plan;
    scheduler_.Schedule({.running = running_,
                         .waiting = waiting_,
                         .available_blocks = 1000 - static_cast<int64_t>(running_.size()),
                         .find_prefix = [](int32_t) { return PrefixHit{}; },
                         .slot_use = this},
                        plan);
    REQUIRE(plan.preempted.empty());
    for (const int32_t i : plan.overtaken) ++waiting_[static_cast<size_t>(i)].overtaken;
    std::vector<uint64_t> admitted;
    for (const RowGrant& grant : plan.grants) {
      SequenceView& view = (grant.admitted ? waiting_ : running_)[static_cast<size_t>(grant.sequence)];
      view.computed += grant.rows;
      REQUIRE(view.computed == view.length);
      ++view.length;
      ++view.first_output;
      view.blocks = view.private_blocks = 1;
      if (!grant.admitted) continue;
      most_overtaken_ = std::max(most_overtaken_, view.overtaken);
      admitted.push_back(view.arrival);
      view.admission = admissions_++;
      running_.push_back(view);
    }
    std::erase_if(waiting_, [&](const SequenceView& view) {
      return std::find(admitted.begin(), admitted.end(), view.arrival) != admitted.end();
    });
    std::set<int> groups;
    for (const SequenceView& view : running_) groups.insert(GroupOf(view.task));
    groups_in_steps_ += static_cast<double>(groups.size());
    ++steps_;
    std::erase_if(running_, [&](SequenceView& view) { return --outputs_[view.arrival] <= 0; });
    return admitted;
  }

  size_t waiting() const { return waiting_.size(); }
  bool idle() const { return waiting_.empty() && running_.empty(); }
  double mean_groups() const { return groups_in_steps_ / static_cast<double>(steps_); }
  int most_overtaken() const { return most_overtaken_; }

 private:
  Scheduler scheduler_;
  const int groups_;
  std::vector<SequenceView> running_, waiting_;
  std::map<uint64_t, int> outputs_;
  std::set<int> in_use_;
  uint64_t arrivals_ = 0, admissions_ = 0;
  double groups_in_steps_ = 0.0;
  int64_t steps_ = 0;
  int most_overtaken_ = 0;
};

TEST_CASE("In a skewed mix of many tasks fewer groups of experts run beside each other") {
  const auto mean_groups = [](int patience) {
    std::mt19937 random(11);
    House house(60, 6, 8, patience);
    for (int step = 0; step < 2000; ++step) {
      // Popularity falls from task to task; more ask than fit.
      for (int i = 0; i < 2 && house.waiting() < 60; ++i) {
        const auto first = static_cast<int32_t>(random() % 60), second = static_cast<int32_t>(random() % 60);
        house.Add(std::min(first, second), 1 + static_cast<int>(random() % 12));
      }
      house.Step();
    }
    CHECK(house.most_overtaken() <= patience);
    while (!house.idle()) house.Step();
    return house.mean_groups();
  };
  const double plain = mean_groups(0), patient = mean_groups(16);
  CAPTURE(plain, patient);
  CHECK(plain > 3.5);
  CHECK(patient < 0.75 * plain);
}

TEST_CASE("However many come that share more, a request is overtaken no more than the patience says") {
  // The even tasks, one group, have requests without end; one of the other group comes in between. How many
  // are admitted before it?
  const auto ahead = [](int patience) {
    House house(40, 2, 4, patience);
    const auto feed = [&] {
      for (int32_t task = 0; task < 40; task += 2) {
        if (house.waiting() < 60) house.Add(task, 3);
      }
    };
    for (int step = 0; step < 20; ++step) {
      feed();
      house.Step();
    }
    const uint64_t lone = house.Add(1, 3);
    int admissions = 0;
    for (int step = 0; step < 1000; ++step) {
      feed();
      for (const uint64_t arrival : house.Step()) {
        if (arrival == lone) {
          CHECK(house.most_overtaken() <= patience);
          return admissions;
        }
        ++admissions;
      }
    }
    FAIL("never admitted");
    return -1;
  };
  const int patience = GENERATE(1, 3, 10, 30);
  const int plain = ahead(0), patient = ahead(patience);
  CAPTURE(patience, plain, patient);
  CHECK(patient <= plain + patience);
  if (patience >= 10) CHECK(patient > plain);  // it was overtaken: the bound is what ends it
}

// All tasks but task 0 share what runs; each of them wants more blocks than there are, task 0 a single one.
struct NothingButTaskZeroFits final : SlotUse {
  std::span<const SequenceView> waiting;
  int64_t Added(int32_t i) override { return waiting[static_cast<size_t>(i)].task == 0 ? 100 : 0; }
  void Admitted(int32_t) override {}
};

TEST_CASE("Who shares more but finds no blocks neither closes admission nor sends anybody away") {
  const int32_t large = GENERATE(1, 5, 40);   // requests that do not fit
  const bool paused = GENERATE(false, true);  // sequences that could be preempted
  CAPTURE(large, paused);
  Scheduler scheduler({.max_running = 64,
                       .token_budget = 64,
                       .total_blocks = 600,
                       .max_tasks = 64,
                       .co_batching_patience = 8},
                      std::vector<SchedulerTask>(64));
  // One that decodes and holds 50 blocks; 100 are free beside the paused ones'.
  std::vector<SequenceView> running = {{.task = 63,
                                        .arrival = 0,
                                        .length = 700,
                                        .first_output = 699,
                                        .computed = 699,
                                        .blocks = 50,
                                        .private_blocks = 50}};
  if (paused) {
    running.push_back(running[0]);
    running[1].arrival = running[1].admission = 1;
    running[1].paused = true;
    running[1].blocks = running[1].private_blocks = 450;
  }
  std::vector<SequenceView> waiting;
  waiting.push_back({.task = 0, .arrival = 10, .length = 8, .first_output = 7});
  for (int32_t task = 1; task <= large; ++task) {
    const int32_t length = 500 * kKvBlockTokens;
    waiting.push_back({.task = task,
                       .arrival = 10 + static_cast<uint64_t>(task),
                       .length = length,
                       .first_output = length - 1});
  }
  NothingButTaskZeroFits slot_use;
  slot_use.waiting = waiting;
  Plan plan;
  scheduler.Schedule({.running = running,
                      .waiting = waiting,
                      .available_blocks = 100,
                      .find_prefix = [](int32_t) { return PrefixHit{}; },
                      .slot_use = &slot_use},
                     plan);
  const auto admitted = [&](int32_t task) {
    return std::any_of(plan.grants.begin(), plan.grants.end(), [&](const RowGrant& grant) {
      return grant.admitted && waiting[static_cast<size_t>(grant.sequence)].task == task;
    });
  };
  CHECK(admitted(0));
  CHECK(plan.overtaken.empty());
  // In its own turn, behind task 0, a large one may send the paused sequence away; nobody else is left then.
  if (!paused) CHECK(plan.preempted.empty());
}

TEST_CASE("With scarce blocks a small request waits for no more admissions than the patience says") {
  // All but task 0 share what runs. Task 1 wants more than is free, tasks 3 to 5 come without end and fit.
  const auto waits = [](int patience) {
    constexpr int64_t kTotal = 40;
    Scheduler scheduler({.max_running = 64,
                         .token_budget = 256,
                         .total_blocks = kTotal,
                         .max_tasks = 16,
                         .co_batching_patience = patience},
                        std::vector<SchedulerTask>(16));
    struct Use final : SlotUse {
      std::vector<SequenceView> waiting;
      int64_t Added(int32_t i) override { return waiting[static_cast<size_t>(i)].task == 0 ? 9 : 0; }
      void Admitted(int32_t) override {}
    } use;
    std::vector<SequenceView>& waiting = use.waiting;
    std::vector<SequenceView> running = {{.task = 15,
                                          .arrival = 0,
                                          .length = 100,
                                          .first_output = 99,
                                          .computed = 99,
                                          .blocks = 10,
                                          .private_blocks = 10}};
    uint64_t arrivals = 1;
    const auto add = [&](int32_t task, int32_t blocks) {
      const int32_t length = blocks * kKvBlockTokens - 4;
      waiting.push_back({.task = task, .arrival = arrivals++, .length = length, .first_output = length - 1});
    };
    add(0, 8);
    for (int step = 0; step < 300; ++step) {
      for (const int32_t task : {1, 3, 4, 5}) {
        const auto of_task = [&](const SequenceView& view) { return view.task == task; };
        if (std::none_of(waiting.begin(), waiting.end(), of_task)) add(task, task == 1 ? 38 : 12);
      }
      int64_t held = 0;
      for (const SequenceView& view : running) held += view.blocks;
      Plan plan;
      scheduler.Schedule({.running = running,
                          .waiting = waiting,
                          .available_blocks = kTotal - held,
                          .find_prefix = [](int32_t) { return PrefixHit{}; },
                          .slot_use = &use},
                         plan);
      for (const int32_t i : plan.overtaken) ++waiting[static_cast<size_t>(i)].overtaken;
      REQUIRE(waiting[0].overtaken <= patience);
      // Whoever is admitted runs for this step only: the next finds the same blocks.
      std::vector<uint64_t> gone;
      for (const RowGrant& grant : plan.grants) {
        if (!grant.admitted) continue;
        if (waiting[static_cast<size_t>(grant.sequence)].task == 0) return step;
        gone.push_back(waiting[static_cast<size_t>(grant.sequence)].arrival);
      }
      std::erase_if(waiting, [&](const SequenceView& view) {
        return std::find(gone.begin(), gone.end(), view.arrival) != gone.end();
      });
    }
    return 300;
  };
  const int patience = GENERATE(1, 4, 8);
  const int plain = waits(0), patient = waits(patience);
  CAPTURE(patience, plain, patient);
  CHECK(plain == 0);
  CHECK(patient <= patience);
  if (patience > 4) CHECK(patient > 0);  // it was overtaken: the bound is what ends it
}

}  // namespace
}  // namespace guildhall
