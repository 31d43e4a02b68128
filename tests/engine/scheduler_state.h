// A state of the scheduler under construction, and what a plan says about it: for tests that are tables.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "engine/scheduler.h"

namespace guildhall {

// Sequences are named by their index.
struct SchedulerState {
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

// Of the running ones or of those that were admitted.
inline Rows GrantedRows(const Plan& plan, bool admitted) {
  Rows rows;
  for (const RowGrant& grant : plan.grants) {
    if (grant.admitted == admitted) rows[grant.sequence] = grant.rows;
  }
  return rows;
}

inline Rows RunningRows(const Plan& plan) {
  return GrantedRows(plan, false);
}
inline Rows AdmittedRows(const Plan& plan) {
  return GrantedRows(plan, true);
}

inline Scheduler MakeScheduler(std::vector<SchedulerTask> tasks = {{}},
                               SchedulerLimits limits = {.total_blocks = 1000}) {
  return Scheduler(limits, std::move(tasks));
}

}  // namespace guildhall
