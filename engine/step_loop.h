// The engine thread's own world: the sequences, their blocks and the steps over them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/steady_clock.h"
#include "engine/base_check.h"
#include "engine/base_health.h"
#include "engine/batch_builder.h"
#include "engine/engine.h"
#include "engine/expert_sharing.h"
#include "engine/publisher.h"
#include "engine/rate_window.h"
#include "engine/request_queue.h"
#include "engine/scheduler.h"
#include "engine/sequence_blocks.h"
#include "model/language_model.h"

namespace guildhall {

// What a step leaves for Status().
struct StepCounters {
  struct Task {
    uint64_t generation = 0;     // whose counts they are
    uint64_t prompt_tokens = 0;  // of requests that have started
    uint64_t output_tokens = 0;
    uint64_t drafted_tokens = 0;   // guesses that were computed
    uint64_t accepted_tokens = 0;  // of these, right ones
  };
  std::vector<Task> tasks;  // by index, see TaskTable
  int64_t kv_blocks = 0, kv_blocks_free = 0, kv_blocks_cached = 0;
  uint64_t steps = 0, preemptions = 0, prefix_hit_tokens = 0, overtakings = 0;
  int64_t prompt_rows = 0;
  int consecutive_numeric_failures = 0;
  bool base_healthy = true;
  bool device_lost = false;
  bool weights_lost = false;
  RateWindow output_rate{absl::Now()};
};

// All but Counters() belongs to one thread. Nothing here throws: what one request cannot have ends that
// request, what a step cannot have is tried again a little later.
class StepLoop {
 public:
  StepLoop(LanguageModel& model, const EngineOptions& options, std::shared_ptr<RequestQueue> queue,
           WeightManager* weights);

  // One turn: admit, schedule, forward, publish. False: there was nothing to do, and there is not before the
  // queue wakes the engine or NextTimer() comes.
  bool Step();
  // The nearest deadline or stall limit.
  absl::Time NextTimer() const { return next_timer_; }
  // Ends everything that was accepted.
  void EndAll(FinishReason reason, absl::StatusCode code, std::string_view message);

  // Any thread: a consistent copy, as of the end of the last step.
  StepCounters Counters() const;

 private:
  void Mark(StepProfile::Phase phase);
  bool TakeArrivals();
  void ApplyTaskChanges();
  PrefixSpace SpaceOf(const Request& request);
  void EndCancelledAndLate();
  void EndIfCancelledOrLate(Sequence& sequence);
  void CheckBase();
  void Schedule();
  void AwaitMemory();
  void Apply();
  void MoveBetweenLists();
  void Preempt(Sequence& sequence);
  void Admit(Sequence& sequence);
  void AllocateBlocks(BatchEntry& entry);
  void EndForMemory(Sequence& sequence);
  void Forward();
  void EndStep(const absl::Status& failure);
  void EndEvery(FinishReason reason, absl::StatusCode code, std::string_view message);
  void Publish(std::span<const float> logits, absl::Time now);
  void CollectEnded();
  bool Finish();
  void PublishCounters();
  SequenceView ViewOf(const Sequence& sequence) const;
  int64_t NowNs() const { return options_.clock_ns ? options_.clock_ns() : SteadyNs(); }
  StepCounters::Task& CountersOf(const Sequence& sequence) {
    return counters_.tasks[static_cast<size_t>(sequence.task)];
  }

  LanguageModel& model_;
  const EngineOptions options_;
  WeightManager* const weights_;  // null: no request has adapters
  const std::shared_ptr<RequestQueue> queue_;
  PrefixSpaces spaces_;
  SequenceBlocks blocks_;
  Scheduler scheduler_;
  StepCost cost_;
  ExpertSharing sharing_;
  BatchBuilder builder_;
  BaseHealth health_;
  BaseCheck check_;
  Publisher publisher_;

  std::vector<std::unique_ptr<Sequence>> waiting_;  // by arrival
  std::vector<std::unique_ptr<Sequence>> running_;
  std::vector<std::unique_ptr<Sequence>> ended_;  // their ends are sent when the step is over
  std::vector<TaskChange> task_changes_;
  std::vector<SequenceView> waiting_views_, running_views_;
  Plan plan_;
  std::vector<BatchEntry> entries_;  // the step's batch
  absl::Time now_;
  absl::Time next_timer_ = absl::InfiniteFuture();
  absl::Time starved_since_ = absl::InfiniteFuture();
  bool again_ = false;  // the step has work for another one at once
  uint64_t next_admission_ = 0;

  StepCounters counters_;
  mutable std::mutex published_mutex_;
  StepCounters published_;
};

}  // namespace guildhall
