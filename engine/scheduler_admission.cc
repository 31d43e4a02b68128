// Who comes in next, and who goes for it.
#include <limits>
#include <tuple>

#include "engine/kv_blocks.h"
#include "engine/scheduler.h"

namespace guildhall {

// Rule 4. The task whose turn it is, unless its head waits for admission and another's head shares more and
// fits. One that does not fit is passed over: only the turn's own head may close admission or preempt.
size_t Scheduler::Preferred(const Plan& plan) {
  const bool places = running_ < limits_.max_running && !admission_closed_;
  if (limits_.co_batching_patience <= 0 || input_->slot_use == nullptr || !places || !Competes(tasks_[turn_]))
    return turn_;
  while (true) {
    const size_t best = SharesMost();
    Candidate& head = candidates_[static_cast<size_t>(order_[tasks_[best].next])];
    if (best == turn_ || FitsNow(head, plan)) return best;
    head.passed_over = true;
  }
}

// Among the turn's head and those that may overtake it.
size_t Scheduler::SharesMost() {
  size_t best = turn_;
  int64_t fewest = std::numeric_limits<int64_t>::max();
  int compared = 0;
  for (size_t i = 0; i < tasks_.size() && compared < kMostCompared; ++i) {
    const size_t at = (turn_ + i) % tasks_.size();
    if (!Competes(tasks_[at])) continue;
    ++compared;
    const Candidate& head = candidates_[static_cast<size_t>(order_[tasks_[at].next])];
    if (head.passed_over && at != turn_) continue;
    if (const int64_t added = input_->slot_use->Added(head.index); added < fewest) {
      fewest = added;
      best = at;
    }
    if (head.overtaken >= limits_.co_batching_patience) break;
  }
  return best;
}

// It could be admitted without anybody's going. What Admit finds then is the same.
bool Scheduler::FitsNow(const Candidate& candidate, const Plan& plan) const {
  PrefixHit hit = input_->find_prefix(candidate.index);
  const SequenceView& view = View(candidate);
  if (outputs_left_ == 0 && hit.blocks * kKvBlockTokens >= view.first_output) return false;
  if (!plan.preempted.empty()) hit.unreferenced = hit.blocks;
  return BlocksToAdmit(view.length, hit) <= AvailableToAdmit();
}

// The head of its queue could be admitted now, as far as its task goes.
bool Scheduler::Competes(const Task& task) const {
  if (task.next >= task.end || task.deficit < 1.0 || task.running >= task.policy.max_running) return false;
  const Candidate& head = candidates_[static_cast<size_t>(order_[task.next])];
  return head.waiting && !head.admitted;
}

// Those between the turn and the task that came before them.
void Scheduler::CountOvertaken(size_t task, Plan& plan) {
  for (size_t at = turn_; at != task; at = (at + 1) % tasks_.size()) {
    if (!Competes(tasks_[at])) continue;
    Candidate& head = candidates_[static_cast<size_t>(order_[tasks_[at].next])];
    ++head.overtaken;
    plan.overtaken.push_back(head.index);
  }
}

// On refusal moves the task's cursor: past this one, or past its whole queue.
bool Scheduler::Admit(Candidate& candidate, Plan& plan) {
  Task& task = TaskOf(candidate);
  if (admission_closed_) {
    task.unmet = true;
    task.next = task.end;
    return false;
  }
  if (!FindPlace(candidate, plan)) {
    task.unmet = admission_closed_;
    task.next = task.end;
    return false;
  }
  PrefixHit hit = input_->find_prefix(candidate.index);
  const SequenceView& view = View(candidate);
  if (outputs_left_ == 0 && hit.blocks * kKvBlockTokens >= view.first_output) {
    task.unmet = true;
    ++task.next;
    return false;
  }
  if (!FindBlocks(view.length, hit, plan)) {  // rule 5
    admission_closed_ = true;
    task.unmet = true;
    task.next = task.end;
    return false;
  }
  candidate.admitted = true;
  candidate.computed = hit.blocks * kKvBlockTokens;
  candidate.blocks = hit.blocks;
  available_ -= hit.unreferenced;
  committed_ += Commitment(candidate);
  ++running_;
  ++task.running;
  if (input_->slot_use != nullptr) input_->slot_use->Admitted(candidate.index);
  return true;
}

// A place among the task's and among all running sequences, at the cost of a paused one if need be.
bool Scheduler::FindPlace(const Candidate& candidate, Plan& plan) {
  const Task& task = TaskOf(candidate);
  if (task.running >= task.policy.max_running) {
    Candidate* victim = PickVictim(/*only_paused=*/true, candidate.task);
    if (victim == nullptr) return false;
    Preempt(*victim, plan);
  }
  if (running_ >= limits_.max_running) {
    Candidate* victim = PickVictim(/*only_paused=*/true, /*only_task=*/-1);
    if (victim == nullptr) {
      admission_closed_ = true;
      return false;
    }
    Preempt(*victim, plan);
  }
  return true;
}

// Blocks for all known tokens, beside what running prompts still need and one block for each running sequence
// to grow into: who is admitted shall not be preempted at once.
int64_t Scheduler::BlocksToAdmit(int64_t length, const PrefixHit& hit) const {
  return KvBlocksFor(length) - hit.blocks + hit.unreferenced + committed_ + running_;
}

// On true they are there; paused sequences may have gone for them.
bool Scheduler::FindBlocks(int64_t length, PrefixHit& hit, Plan& plan) {
  // After a preemption the blocks of the hit may be among those that the victim gave back: count them as
  // taken.
  if (!plan.preempted.empty()) hit.unreferenced = hit.blocks;
  const auto needed = [&] { return BlocksToAdmit(length, hit); };
  if (needed() <= AvailableToAdmit()) return true;
  hit.unreferenced = hit.blocks;
  int64_t possible = AvailableToAdmit();
  int paused = 0;
  for (const Candidate& candidate : candidates_) {
    if (candidate.waiting || candidate.dropped || !View(candidate).paused) continue;
    possible += View(candidate).private_blocks + Commitment(candidate);
    ++paused;
  }
  if (paused == 0 || needed() - paused > possible) return false;
  while (needed() > AvailableToAdmit()) Preempt(*PickVictim(/*only_paused=*/true, /*only_task=*/-1), plan);
  return true;
}

void Scheduler::Preempt(Candidate& victim, Plan& plan) {
  Task& task = TaskOf(victim);
  victim.dropped = true;
  task.unmet = true;
  --task.running;
  --running_;
  committed_ -= Commitment(victim);
  available_ += View(victim).private_blocks;
  plan.preempted.push_back(victim.index);
}

Scheduler::Candidate* Scheduler::PickVictim(bool only_paused, int32_t only_task) {
  Candidate* best = nullptr;
  const auto key = [&](const Candidate& candidate) {
    const Task& task = TaskOf(candidate);
    const SequenceView& view = View(candidate);
    return std::tuple(view.paused, -NormalDeficit(task), view.admission);
  };
  for (size_t i = 0; i < input_->running.size(); ++i) {
    Candidate& candidate = candidates_[i];
    if (candidate.dropped || &candidate == oldest_) continue;
    if (only_paused && !View(candidate).paused) continue;
    if (only_task >= 0 && candidate.task != only_task) continue;
    if (best == nullptr || key(candidate) > key(*best)) best = &candidate;
  }
  return best;
}

}  // namespace guildhall
