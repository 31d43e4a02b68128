#include "engine/scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "engine/kv_blocks.h"

namespace guildhall {

Scheduler::Scheduler(const SchedulerLimits& limits, std::span<const SchedulerTask> tasks) : limits_(limits) {
  GH_CHECK_GT(limits.max_running, 0);
  GH_CHECK_GT(limits.token_budget, 0);
  GH_CHECK_GT(limits.prefill_chunk, 0);
  GH_CHECK_GT(limits.max_outputs, 0);
  GH_CHECK_GT(limits.total_blocks, 0);
  tasks_.reserve(limits.max_tasks);
  int32_t index = 0;
  for (const SchedulerTask& task : tasks) PutTask(index++, task, /*fresh=*/true);
}

void Scheduler::PutTask(int32_t task, const SchedulerTask& policy, bool fresh) {
  const auto i = static_cast<size_t>(task);
  GH_CHECK_LT(i, limits_.max_tasks);
  GH_CHECK(std::isfinite(policy.weight));
  GH_CHECK_GT(policy.weight, 0.0);
  if (tasks_.size() <= i) tasks_.resize(i + 1);
  if (fresh) tasks_[i] = Task();
  tasks_[i].policy = policy;
  tasks_[i].weight = policy.weight;
  weights_changed_ = true;
}

void Scheduler::RemoveTask(int32_t task) {
  if (static_cast<size_t>(task) >= tasks_.size()) return;
  tasks_[static_cast<size_t>(task)] = Task();
  weights_changed_ = true;
}

// A debt is in rows and stays; only what it means beside the others' weights changes.
void Scheduler::SetRelativeWeights() {
  if (!std::exchange(weights_changed_, false)) return;
  double largest = 0.0;
  for (const Task& task : tasks_) largest = std::max(largest, task.weight);
  for (Task& task : tasks_) task.policy.weight = task.weight > 0.0 ? task.weight / largest : 1.0;
}

void Scheduler::Schedule(const ScheduleInput& input, Plan& plan) {
  plan.preempted.clear();
  plan.grants.clear();
  plan.overtaken.clear();
  Begin(input);
  MakeRoomToGrow(plan);
  Order();
  GrantDecodes();
  ShareTheRest(plan);
  GrantDrafts();
  Settle();
  Emit(plan);
}

void Scheduler::Begin(const ScheduleInput& input) {
  SetRelativeWeights();
  input_ = &input;
  rows_left_ = limits_.token_budget;
  outputs_left_ = limits_.max_outputs;
  available_ = input.available_blocks;
  committed_ = 0;
  running_ = static_cast<int>(input.running.size());
  admission_closed_ = false;
  for (Task& task : tasks_) {
    task.running = 0;
    task.unmet = false;
  }
  candidates_.clear();
  for (size_t i = 0; i < input.running.size(); ++i) {
    const SequenceView& view = input.running[i];
    candidates_.push_back({.index = static_cast<int32_t>(i),
                           .task = view.task,
                           .computed = view.computed,
                           .blocks = view.blocks});
    ++TaskOf(candidates_.back()).running;
    committed_ += Commitment(candidates_.back());
  }
  for (size_t i = 0; i < input.waiting.size(); ++i) {
    const SequenceView& view = input.waiting[i];
    candidates_.push_back(
        {.index = static_cast<int32_t>(i), .task = view.task, .waiting = true, .overtaken = view.overtaken});
  }
  oldest_ = nullptr;
  for (size_t i = 0; i < input.running.size(); ++i) {
    const Candidate& candidate = candidates_[i];
    if (View(candidate).paused) continue;
    if (oldest_ == nullptr || View(candidate).arrival < View(*oldest_).arrival) oldest_ = &candidate;
  }
}

// Rule 1.
void Scheduler::MakeRoomToGrow(Plan& plan) {
  const std::span<Candidate> running(candidates_.data(), input_->running.size());
  int64_t needed = 0;
  for (const Candidate& candidate : running) needed += BlocksToGrow(candidate);
  while (needed > available_) {
    Candidate* victim = PickVictim(/*only_paused=*/false, /*only_task=*/-1);
    if (victim == nullptr) break;
    needed -= BlocksToGrow(*victim);
    Preempt(*victim, plan);
  }
  // What two victims shared was nobody's own and is not counted yet; where it matters the sum is simple.
  if (!plan.preempted.empty() && running_ <= 1) {
    available_ = limits_.total_blocks - input_->missing_blocks -
                 (running_ == 1 && oldest_ != nullptr ? oldest_->blocks : 0);
  }
  // A single sequence always fits into all blocks: Submit sees to it.
  if (input_->missing_blocks == 0) GH_CHECK_LE(needed, available_);
  for (Candidate& candidate : running) TakeBlocks(candidate, std::min(BlocksToGrow(candidate), available_));
}

void Scheduler::Order() {
  order_.clear();
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (!candidates_[i].dropped && !View(candidates_[i]).paused) order_.push_back(static_cast<int32_t>(i));
  }
  const auto key = [&](int32_t i) {
    const Candidate& candidate = candidates_[static_cast<size_t>(i)];
    const SequenceView& view = View(candidate);
    const int kind = candidate.waiting ? 2 : Decodes(candidate) ? 0 : 1;
    return std::tuple(candidate.task, kind, kind == 0 ? view.last_step : 0, view.arrival);
  };
  std::sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return key(a) < key(b); });
  size_t at = 0;
  for (size_t t = 0; t < tasks_.size(); ++t) {
    tasks_[t].next = at;
    while (at < order_.size() && candidates_[static_cast<size_t>(order_[at])].task == static_cast<int32_t>(t))
      ++at;
    tasks_[t].end = at;
  }
  GH_CHECK_EQ(at, order_.size());
}

// Rule 2. All or none: where they do not fit beside each other, or leave nothing to the prompts, the round
// robin decides.
void Scheduler::GrantDecodes() {
  const auto first_in_line = [&](const Candidate& candidate) {
    const Task& task = TaskOf(candidate);
    return Decodes(candidate) && MostRows(candidate) > 0 &&
           NormalDeficit(task) >= -kCredit * limits_.token_budget;
  };
  int64_t decodes = 0;
  for (const int32_t i : order_) decodes += first_in_line(candidates_[static_cast<size_t>(i)]) ? 1 : 0;
  const bool prompts = decodes < static_cast<int64_t>(order_.size());
  if (decodes + (prompts ? 1 : 0) > std::min(rows_left_, outputs_left_)) return;
  for (const int32_t i : order_) {
    Candidate& candidate = candidates_[static_cast<size_t>(i)];
    if (first_in_line(candidate)) Grant(candidate, 1);
  }
  if (decodes > 0) rows_left_ = std::min(rows_left_, input_->prompt_rows);
}

// Rule 3.
void Scheduler::ShareTheRest(Plan& plan) {
  while (rows_left_ > 0) {
    size_t passed = 0;
    for (; passed < tasks_.size(); ++passed) {
      Task& task = tasks_[turn_];
      if (task.next < task.end && task.deficit >= 1.0) break;
      turn_ = (turn_ + 1) % tasks_.size();
    }
    if (passed < tasks_.size()) {
      const size_t next = Preferred(plan);
      const auto head = static_cast<size_t>(order_[tasks_[next].next]);
      Visit(tasks_[next], plan);
      if (next != turn_ && candidates_[head].admitted) CountOvertaken(next, plan);
    } else if (!TopUp()) {
      return;
    }
  }
}

void Scheduler::Visit(Task& task, Plan& plan) {
  const size_t first = task.next;
  while (task.next < task.end && task.deficit >= 1.0 && rows_left_ > 0) {
    Candidate& candidate = candidates_[static_cast<size_t>(order_[task.next])];
    if (candidate.waiting && !candidate.admitted) {
      // The next one of the queue is compared with the others' heads again.
      if (limits_.co_batching_patience > 0 && task.next != first) return;
      if (!Admit(candidate, plan)) continue;
    }
    const int32_t most = MostRows(candidate);
    if (most > 0) Grant(candidate, static_cast<int32_t>(std::min<double>(most, task.deficit)));
    if (!WantsMore(candidate)) {
      ++task.next;
    } else if (most == 0) {
      task.unmet = true;  // no logit row or no block is left for it
      ++task.next;
    }
  }
}

// As many rounds as it takes until somebody who can use it has a row to spend. False: nobody can.
bool Scheduler::TopUp() {
  double rounds = 0.0;
  for (const Task& task : tasks_) {
    if (task.next >= task.end) continue;
    const double needed = std::max(1.0, std::ceil((1.0 - task.deficit) / (kQuantum * task.policy.weight)));
    rounds = rounds == 0.0 ? needed : std::min(rounds, needed);
  }
  for (Task& task : tasks_) task.deficit += rounds * kQuantum * task.policy.weight;
  return rounds > 0.0;
}

void Scheduler::Grant(Candidate& candidate, int32_t rows) {
  const int64_t first = candidate.computed + candidate.rows;
  const int64_t outputs = std::clamp<int64_t>(first + rows - View(candidate).first_output, 0, rows);
  candidate.rows += rows;
  rows_left_ -= rows;
  outputs_left_ -= outputs;
  TaskOf(candidate).deficit -= rows;
  TakeBlocks(candidate, std::max<int64_t>(0, KvBlocksFor(first + rows) - candidate.blocks));
  GH_CHECK_GE(outputs_left_, 0);
  GH_CHECK_GE(available_, 0);
}

void Scheduler::TakeBlocks(Candidate& candidate, int64_t blocks) {
  committed_ -= Commitment(candidate);
  candidate.blocks += static_cast<int32_t>(blocks);
  available_ -= blocks;
  committed_ += Commitment(candidate);
}

// Rule 6. Another one begins in each step, so that a shortage hits all alike.
void Scheduler::GrantDrafts() {
  ++draft_turn_;
  bool granted = true;
  for (int32_t rows = 1; granted && rows < limits_.prefill_chunk; ++rows) {
    granted = false;
    for (size_t i = 0; i < order_.size(); ++i) {
      if (rows_left_ == 0 || outputs_left_ == 0) return;
      const auto at = static_cast<size_t>(order_[(draft_turn_ + i) % order_.size()]);
      Candidate& candidate = candidates_[at];
      if (candidate.rows != rows || !Decodes(candidate) || View(candidate).drafts < rows) continue;
      if (!HasPlaceForDraft(candidate)) continue;
      Grant(candidate, 1);
      granted = true;
    }
  }
}

bool Scheduler::HasPlaceForDraft(const Candidate& candidate) const {
  const int64_t end = candidate.computed + candidate.rows + 1;
  return KvBlocksFor(end) <= candidate.blocks || AvailableToAdmit() > committed_ + running_;
}

// Rule 7. Deficits are kept relative to the least-served task that still wants: it has 0, and nobody owes it
// more than the credit and one step.
void Scheduler::Settle() {
  const Task* top = nullptr;
  for (Task& task : tasks_) {
    for (size_t i = task.next; i < task.end && !task.unmet; ++i) {
      const Candidate& candidate = candidates_[static_cast<size_t>(order_[i])];
      const bool own_limit =
          candidate.waiting && !candidate.admitted && task.running >= task.policy.max_running;
      task.unmet = !own_limit && WantsMore(candidate);
    }
    if (!task.unmet) continue;
    if (top == nullptr || NormalDeficit(task) > NormalDeficit(*top)) top = &task;
  }
  const double level = top == nullptr ? 0.0 : NormalDeficit(*top);
  const double most = top == nullptr ? 0.0 : (kCredit + 1.0) * limits_.token_budget / top->policy.weight;
  for (Task& task : tasks_) {
    task.deficit = std::clamp((NormalDeficit(task) - level), -most, 0.0) * task.policy.weight;
  }
}

void Scheduler::Emit(Plan& plan) const {
  for (const int32_t i : order_) {
    const Candidate& candidate = candidates_[static_cast<size_t>(i)];
    if (candidate.rows == 0) continue;
    plan.grants.push_back(
        {.sequence = candidate.index, .admitted = candidate.admitted, .rows = candidate.rows});
  }
}

const SequenceView& Scheduler::View(const Candidate& candidate) const {
  const std::span<const SequenceView> views = candidate.waiting ? input_->waiting : input_->running;
  return views[static_cast<size_t>(candidate.index)];
}

int32_t Scheduler::MostRows(const Candidate& candidate) const {
  const SequenceView& view = View(candidate);
  const int64_t first = candidate.computed + candidate.rows;
  const int64_t without_output = std::max<int64_t>(0, view.first_output - first);
  const int64_t with_blocks = (candidate.blocks + available_) * kKvBlockTokens - first;
  return static_cast<int32_t>(std::min({view.length - first, int64_t{limits_.prefill_chunk} - candidate.rows,
                                        rows_left_, without_output + outputs_left_, with_blocks}));
}

bool Scheduler::WantsMore(const Candidate& candidate) const {
  return candidate.rows < limits_.prefill_chunk &&
         candidate.computed + candidate.rows < View(candidate).length;
}

bool Scheduler::Decodes(const Candidate& candidate) const {
  return !candidate.waiting && View(candidate).length - candidate.computed == 1;
}

// What rule 1 promises a block to, and how many blocks that takes.
bool Scheduler::MustGrow(const Candidate& candidate) const {
  return !candidate.dropped && !View(candidate).paused && (Decodes(candidate) || &candidate == oldest_);
}

int64_t Scheduler::BlocksToGrow(const Candidate& candidate) const {
  if (!MustGrow(candidate)) return 0;
  const int32_t chunk = std::min(limits_.prefill_chunk, limits_.token_budget);
  const int32_t rows = std::min(View(candidate).length - candidate.computed, chunk);
  return std::max<int64_t>(0, KvBlocksFor(candidate.computed + rows) - candidate.blocks);
}

// Blocks that a running prompt still lacks to be complete.
int64_t Scheduler::Commitment(const Candidate& candidate) const {
  return std::max<int64_t>(0, KvBlocksFor(View(candidate).length) - candidate.blocks);
}

}  // namespace guildhall
