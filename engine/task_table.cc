#include "engine/task_table.h"

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

absl::Status TaskTable::Put(const TaskPolicy& policy) {
  GH_RETURN_IF_ERROR(CheckPolicy(policy));
  TaskPolicy copy = policy;
  int32_t task = Find(policy.id);
  if (task < 0) {
    auto at = std::find_if(entries_.begin(), entries_.end(),
                           [](const Entry& entry) { return entry.generation == 0; });
    if (at == entries_.end() && entries_.size() == static_cast<size_t>(Engine::kMaxTasks)) {
      return absl::ResourceExhaustedError(
          StrCat("task \"", policy.id, "\" has no place: there are ", Engine::kMaxTasks,
                 " tasks (deleted ones count while their requests run); delete one that is not needed"));
    }
    if (at == entries_.end()) {
      entries_.emplace_back();
      at = entries_.end() - 1;
    }
    task = static_cast<int32_t>(at - entries_.begin());
    live_.emplace(policy.id, task);
    *at = Entry();
    at->generation = ++last_generation_;
    at->live = true;
  }
  Entry& entry = entries_[static_cast<size_t>(task)];
  entry.policy = std::move(copy);
  entry.changed = changed_ = true;
  return absl::OkStatus();
}

absl::Status TaskTable::Delete(const std::string& id) {
  if (id.empty()) return absl::InvalidArgumentError("the base's own task, \"\", cannot be deleted");
  const auto at = live_.find(id);
  if (at == live_.end()) return NoSuchTask(id);
  Entry& entry = entries_[static_cast<size_t>(at->second)];
  live_.erase(at);
  entry.live = false;
  FreeIfUnused(entry);
  return absl::OkStatus();
}

int32_t TaskTable::Find(const std::string& id) const {
  const auto at = live_.find(id);
  return at == live_.end() ? -1 : at->second;
}

void TaskTable::Left(int32_t task) {
  FreeIfUnused(entries_[static_cast<size_t>(task)]);
}

void TaskTable::FreeIfUnused(Entry& entry) {
  if (entry.live || entry.counts.queued + entry.counts.running > 0) return;
  entry.generation = 0;
  entry.changed = changed_ = true;
}

void TaskTable::TakeChanges(std::vector<TaskChange>& changes) {
  changes.clear();
  if (!changed_) return;
  changes.reserve(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (!entry.changed) continue;
    changes.push_back({.task = static_cast<int32_t>(i),
                       .generation = entry.generation,
                       .weight = entry.policy.weight,
                       .max_running = entry.policy.max_running});
    entry.changed = false;
  }
  changed_ = false;
}

}  // namespace guildhall
