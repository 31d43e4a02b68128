#include "engine/task_slots.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr double kLeastWeight = 0.001, kMostWeight = 1000.0;

absl::Status CheckPolicy(const TaskPolicy& policy) {
  if (!(policy.weight >= kLeastWeight && policy.weight <= kMostWeight)) {
    return absl::InvalidArgumentError(StrCat("weight of task \"", policy.id, "\" is ", policy.weight,
                                             "; expected ", kLeastWeight, " to ", kMostWeight));
  }
  if (policy.max_queued < 0 || policy.max_running < 1) {
    return absl::InvalidArgumentError(StrCat("max_queued and max_running of task \"", policy.id, "\" are ",
                                             policy.max_queued, " and ", policy.max_running,
                                             "; expected at least 0 and 1"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status NoSuchTask(const std::string& id) {
  return absl::NotFoundError(StrCat("there is no task \"", id, "\"; ListTasks names those there are"));
}

absl::Status TaskSlots::Put(const TaskPolicy& policy) {
  GH_RETURN_IF_ERROR(CheckPolicy(policy));
  TaskPolicy copy = policy;
  int32_t task = Find(policy.id);
  if (task < 0) {
    auto at =
        std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.generation == 0; });
    if (at == slots_.end() && slots_.size() == static_cast<size_t>(Engine::kMaxTasks)) {
      return absl::ResourceExhaustedError(
          StrCat("task \"", policy.id, "\" has no place: there are ", Engine::kMaxTasks,
                 " tasks (deleted ones count while their requests run); delete one that is not needed"));
    }
    if (at == slots_.end()) {
      slots_.emplace_back();
      at = slots_.end() - 1;
    }
    task = static_cast<int32_t>(at - slots_.begin());
    live_.emplace(policy.id, task);
    *at = Slot();
    at->generation = ++last_generation_;
    at->live = true;
  }
  Slot& slot = slots_[static_cast<size_t>(task)];
  slot.policy = std::move(copy);
  slot.changed = changed_ = true;
  return absl::OkStatus();
}

absl::Status TaskSlots::Delete(const std::string& id) {
  if (id.empty()) return absl::InvalidArgumentError("the base's own task, \"\", cannot be deleted");
  const auto at = live_.find(id);
  if (at == live_.end()) return NoSuchTask(id);
  Slot& slot = slots_[static_cast<size_t>(at->second)];
  live_.erase(at);
  slot.live = false;
  FreeIfUnused(slot);
  return absl::OkStatus();
}

int32_t TaskSlots::Find(const std::string& id) const {
  const auto at = live_.find(id);
  return at == live_.end() ? -1 : at->second;
}

void TaskSlots::Left(int32_t task) {
  FreeIfUnused(slots_[static_cast<size_t>(task)]);
}

void TaskSlots::FreeIfUnused(Slot& slot) {
  if (slot.live || slot.counts.queued + slot.counts.running > 0) return;
  slot.generation = 0;
  slot.changed = changed_ = true;
}

void TaskSlots::TakeChanges(std::vector<TaskChange>& changes) {
  changes.clear();
  if (!changed_) return;
  changes.reserve(slots_.size());
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.changed) continue;
    changes.push_back({.task = static_cast<int32_t>(i),
                       .generation = slot.generation,
                       .weight = slot.policy.weight,
                       .max_running = slot.policy.max_running});
    slot.changed = false;
  }
  changed_ = false;
}

}  // namespace guildhall
