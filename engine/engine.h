// Requests in, tokens out: one thread that turns a bounded queue of requests into steps over a shared model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/request.h"
#include "engine/step_cost.h"
#include "engine/step_profile.h"
#include "model/language_model.h"
#include "weights/byte_budget.h"
#include "weights/weight_manager.h"

namespace guildhall {

// A task as the scheduler sees it.
struct TaskPolicy {
  std::string id;        // "" is the base
  double weight = 1.0;   // share of tokens relative to other tasks that have work
  int max_queued = 64;   // RESOURCE_EXHAUSTED beyond
  int max_running = 64;  // more wait in the queue
};

struct EngineOptions {
  StepProfile* profile = nullptr;  // measures the engine thread; outlives the engine
  int max_queued = 256;            // requests waiting, all tasks
  int max_running = 64;            // sequences that hold KV blocks
  int token_budget = 512;          // rows of one step, decode rows first
  int prefill_chunk = 256;         // most prompt rows of one sequence in one step
  bool prefix_cache = true;
  // How many prompt rows may make decoding ones wait, see StepCost. The target is of StepCost::Mode::kTarget.
  StepCost::Mode step_bound = StepCost::Mode::kUnbounded;
  absl::Duration target_step = absl::ZeroDuration();
  // How often a request may be overtaken by one that shares more experts with what runs; 0: never.
  int co_batching_patience = 0;
  absl::Duration stall_limit = absl::Seconds(60);  // a reader that takes nothing for so long is cancelled
  std::vector<int32_t> eos_tokens;
  absl::Duration base_check_interval = absl::Seconds(5);  // as of BaseHealth
  absl::Duration hung_step = absl::InfiniteDuration();    // a turn that takes longer counts as hung

  // What the KV cache shares with adapters; null: all of the model's blocks are the KV cache's own. It takes
  // memory for min_kv_blocks at once (CHECK: there is so much) and more as it needs it, and gives back what
  // nobody holds when adapters want it.
  std::shared_ptr<ByteBudget> budget;
  uint64_t kv_block_bytes = 0;  // of one block, over all layers
  int64_t min_kv_blocks = 1;

  std::function<int64_t()> clock_ns = {};  // what steps are timed by; null: the monotonic clock
};

// What the engine says of itself; a consistent copy.
struct EngineStatus {
  struct Task {
    TaskPolicy policy;
    int queued = 0;
    int running = 0;
    uint64_t requests = 0;  // accepted since start
    uint64_t rejected = 0;
    uint64_t prompt_tokens = 0;
    uint64_t output_tokens = 0;
    uint64_t drafted_tokens = 0;   // by prompt lookup, and computed
    uint64_t accepted_tokens = 0;  // of these, right ones
  };
  std::vector<Task> tasks;  // that requests can name
  // Blocks that have memory; of these, nobody's; of these, reusable as a prefix. With a budget shared there
  // can be up to kv_blocks_most.
  int64_t kv_blocks = 0, kv_blocks_free = 0, kv_blocks_cached = 0, kv_blocks_most = 0;
  uint64_t steps = 0;
  uint64_t preemptions = 0;
  uint64_t prefix_hit_tokens = 0;
  double tokens_per_second = 0.0;  // output tokens, over the last ten seconds or so
  uint64_t overtakings = 0;        // at admission, in favour of one that shares more experts
  int64_t prompt_rows = 0;         // that the last step with decoding rows had room for beside them
  bool draining = false;
  // False while the base model does not give good numbers (BaseHealth), while a step hangs, and once the
  // device or the weights are lost. What adapters do is theirs (AdapterFaults).
  bool healthy = true;
  absl::Duration turn = absl::ZeroDuration();  // that the loop's present turn has taken; zero while it waits
  bool hung = false;                           // for longer than `hung_step`
  bool device_lost = false;  // every request ends with UNAVAILABLE, until the process is started again
  int consecutive_numeric_failures = 0;  // of the base
};

// Thread-safe. The model is used by the engine's own thread only, from Start until Stop.
class Engine {
 public:
  // `model` and `weights` outlive the engine. `weights`: null where no request brings adapters. `tasks` as
  // for PutTask.
  Engine(LanguageModel& model, EngineOptions options, const std::vector<TaskPolicy>& tasks,
         WeightManager* weights = nullptr);
  ~Engine();  // Stop()

  void Start();

  // Takes the request into the queue or refuses at once: NOT_FOUND (task), RESOURCE_EXHAUSTED (queue or the
  // task's quota; the message says which and its size), OUT_OF_RANGE (prompt + max_tokens over the context
  // or over what the KV cache can ever hold; with the numbers), UNAVAILABLE (draining, stopped, the device
  // lost). Exactly one RequestEnd follows an OK.
  absl::Status Submit(std::shared_ptr<Request> request);

  // No new requests from now on; returns when all have ended or `limit` passes (then the rest is cancelled).
  // True: all had ended by themselves.
  bool Drain(absl::Duration limit);
  void Stop();  // cancels everything

  EngineStatus Status() const;

  // Adds a task, or changes the policy of the one with its id; in force from the next step.
  // RESOURCE_EXHAUSTED at kMaxTasks (deleted tasks count while their requests run); INVALID_ARGUMENT for a
  // weight outside 0.001 to 1000 or a quota below 1 (max_queued: 0).
  absl::Status PutTask(const TaskPolicy& policy);
  // No new requests for it from now on (NOT_FOUND); those that were accepted end as usual. NOT_FOUND;
  // INVALID_ARGUMENT for the base, "".
  absl::Status DeleteTask(const std::string& id);
  static constexpr int kMaxTasks = 4096;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace guildhall
