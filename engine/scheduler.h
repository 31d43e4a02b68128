// The policy of a step: who gets how many rows, who is admitted, who is preempted. No clock, no I/O, no
// device.
//
// Rules, in the order in which a step applies them:
//  1. Growth. Every decoding sequence, and the oldest sequence whatever it does, must find the block for its
//     next rows. While blocks are short a victim is preempted: paused sequences first, then the most
//     over-served task, and in it the last admitted. The oldest sequence that can run is never a victim, so
//     it always gets on and nothing livelocks; where even all blocks that can be had now are too few for it,
//     it waits with what it has.
//  2. Decode rows first, on credit: all of them if they fit, except those of a task that is over-served by
//     more than `kCredit` token budgets. Beside them the step takes no more than `prompt_rows`.
//  3. Weighted deficit round robin over tasks shares the rest; the cost is rows. Within a task: decoding
//     sequences (the one that waited longest first), prompts in progress, then the queue in order of arrival.
//  4. Admission. Among the heads of queues whose tasks may spend now, the one that adds the fewest expert
//     slots to those in use comes first, if it fits as things are; else the order of the round robin decides.
//     A head that others overtook `co_batching_patience` times is overtaken no more. Only the order changes:
//     what each task may spend does not.
//  5. A queue's head that finds no block or no place in its task's turn closes admission for all: what
//     becomes free gathers for it. Before that, paused sequences are preempted for it if that helps.
//  6. Drafts (guessed tokens) of decoding sequences take rows, logit rows and blocks that nobody else can use
//     in this step: one row each in turn, charged like any other. They preempt nobody and take no block that
//     a running sequence will need.
//  7. Debts count only between tasks that compete: a step that gave everybody all they could take forgives
//     all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"

namespace guildhall {

struct SchedulerLimits {
  int max_running = 64;      // sequences that hold blocks
  int token_budget = 512;    // rows of a step
  int prefill_chunk = 256;   // rows of one sequence in a step
  int64_t max_outputs = 64;  // logit rows of a step
  int64_t total_blocks = 0;
  size_t max_tasks = 64;
  int co_batching_patience = 0;  // how often a waiting sequence may be overtaken; 0: no preference
};

struct SchedulerTask {
  double weight = 1.0;  // > 0
  int max_running = 64;
};

// A sequence as the policy sees it. `length - computed == 1`: it decodes; more: it has a prompt to compute.
struct SequenceView {
  int32_t task = 0;
  uint64_t arrival = 0;      // unique; smaller is older
  int32_t length = 0;        // tokens known so far, prompt and output
  int32_t first_output = 0;  // logits are wanted of every row from this one on
  bool paused = false;       // its reader has no room: no rows for it
  int32_t overtaken = 0;     // of waiting ones: how often, see Plan::overtaken
  // Of running sequences only:
  int32_t computed = 0;        // leading tokens whose keys are in the cache
  uint64_t admission = 0;      // unique; larger was admitted later
  uint64_t last_step = 0;      // when it last had rows
  int32_t blocks = 0;          // that it holds
  int32_t private_blocks = 0;  // of these, held by nobody else: what preemption gives back
  int32_t drafts = 0;          // rows beyond `length` that it can use when it decodes
};

// What the prefix cache has for a waiting sequence.
struct PrefixHit {
  int32_t blocks = 0;
  int32_t unreferenced = 0;  // of these, counted in available_blocks until they are taken
};

// What experts a waiting sequence would have in common with those that run.
class SlotUse {
 public:
  virtual ~SlotUse() = default;
  virtual int64_t Added(int32_t waiting) = 0;  // expert slots that nobody reads who runs or was admitted
  virtual void Admitted(int32_t waiting) = 0;
};

struct ScheduleInput {
  std::span<const SequenceView> running;
  std::span<const SequenceView> waiting;  // by arrival
  int64_t available_blocks = 0;
  int64_t missing_blocks = 0;   // of total_blocks, that cannot be had now whoever lets go
  int64_t reserved_blocks = 0;  // of available_blocks, those that admit nobody
  absl::FunctionRef<PrefixHit(int32_t waiting)> find_prefix;  // asked only of those that might be admitted
  // Rows that may join decoding ones, if there are any: what keeps the step short. At least 1.
  int64_t prompt_rows = std::numeric_limits<int32_t>::max();
  SlotUse* slot_use = nullptr;  // null: no preference at admission
};

struct RowGrant {
  int32_t sequence = 0;  // index into running, or into waiting when `admitted`
  bool admitted = false;
  int32_t rows = 0;
};

// Reused from step to step.
struct Plan {
  std::vector<int32_t> preempted;  // indices into running
  std::vector<RowGrant> grants;    // a task's are neighbours
  // Indices into waiting, once for each time that another one was admitted in its stead.
  std::vector<int32_t> overtaken;
};

// Keeps the tasks' deficits between steps, nothing else. Engine thread only.
class Scheduler {
 public:
  static constexpr double kQuantum = 32;  // rows that a round of the round robin gives to a task of weight 1
  static constexpr double kCredit = 4;    // token budgets
  static constexpr int kMostCompared = 32;  // heads of queues, at each admission

  // `tasks` have the indices 0, 1, ...
  explicit Scheduler(const SchedulerLimits& limits, std::span<const SchedulerTask> tasks = {});

  // Between steps. A task with a new policy keeps what it owes, a `fresh` one owes nothing. Indices are below
  // max_tasks; allocates nothing.
  void PutTask(int32_t task, const SchedulerTask& policy, bool fresh);
  void RemoveTask(int32_t task);  // none of its sequences lives

  void Schedule(const ScheduleInput& input, Plan& plan);

  // Rows owed to a task (<= 0: it is ahead of the least-served one by so much).
  double deficit(int32_t task) const { return tasks_[static_cast<size_t>(task)].deficit; }

 private:
  struct Task {
    SchedulerTask policy;  // weight: relative to the largest
    double weight = 0.0;   // as given; 0: there is no such task
    double deficit = 0.0;
    // Of the current step:
    int running = 0;
    bool unmet = false;        // wants more than it got, and not because of its own limits
    size_t next = 0, end = 0;  // its part of order_
  };
  struct Candidate {
    int32_t index = 0;  // into running or waiting
    int32_t task = 0;
    bool waiting = false;
    bool admitted = false;  // waiting only: in this step
    bool dropped = false;   // running only: preempted in this step
    int32_t computed = 0;
    int32_t blocks = 0;  // held, and those set aside for it in this step
    int32_t rows = 0;    // granted
    int32_t overtaken = 0;
    bool passed_over = false;  // waiting only: shares much, but does not fit in this step
  };

  void SetRelativeWeights();
  void Begin(const ScheduleInput& input);
  void MakeRoomToGrow(Plan& plan);
  void Order();
  void GrantDecodes();
  void ShareTheRest(Plan& plan);
  void GrantDrafts();
  void Settle();
  void Emit(Plan& plan) const;

  void Visit(Task& task, Plan& plan);
  size_t Preferred(const Plan& plan);
  size_t SharesMost();
  bool FitsNow(const Candidate& candidate, const Plan& plan) const;
  bool Competes(const Task& task) const;
  void CountOvertaken(size_t task, Plan& plan);
  bool TopUp();
  bool Admit(Candidate& candidate, Plan& plan);
  bool FindPlace(const Candidate& candidate, Plan& plan);
  int64_t BlocksToAdmit(int64_t length, const PrefixHit& hit) const;
  bool FindBlocks(int64_t length, PrefixHit& hit, Plan& plan);
  void Preempt(Candidate& victim, Plan& plan);
  Candidate* PickVictim(bool only_paused, int32_t only_task);
  void Grant(Candidate& candidate, int32_t rows);
  void TakeBlocks(Candidate& candidate, int64_t blocks);

  const SequenceView& View(const Candidate& candidate) const;
  int32_t MostRows(const Candidate& candidate) const;
  bool WantsMore(const Candidate& candidate) const;
  bool MustGrow(const Candidate& candidate) const;
  int64_t BlocksToGrow(const Candidate& candidate) const;
  int64_t Commitment(const Candidate& candidate) const;
  int64_t AvailableToAdmit() const { return available_ - input_->reserved_blocks; }
  bool Decodes(const Candidate& candidate) const;
  bool HasPlaceForDraft(const Candidate& candidate) const;
  Task& TaskOf(const Candidate& candidate) { return tasks_[static_cast<size_t>(candidate.task)]; }
  static double NormalDeficit(const Task& task) { return task.deficit / task.policy.weight; }

  const SchedulerLimits limits_;
  std::vector<Task> tasks_;
  bool weights_changed_ = false;
  size_t turn_ = 0;        // whose turn it is in the round robin
  size_t draft_turn_ = 0;  // who drafts first

  // Of the current step; kept for their memory.
  const ScheduleInput* input_ = nullptr;
  std::vector<Candidate> candidates_;  // running in their order, then waiting in theirs
  std::vector<int32_t> order_;         // candidates by task, then by turn
  const Candidate* oldest_ = nullptr;  // running, not paused
  int64_t rows_left_ = 0, outputs_left_ = 0;
  int64_t available_ = 0;  // blocks that nobody holds and that are set aside for nobody
  int64_t committed_ = 0;  // of these, what running prompts still need to be complete
  int running_ = 0;
  bool admission_closed_ = false;
};

}  // namespace guildhall
