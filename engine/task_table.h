// The tasks that the engine knows, each with an index that stays its own while one of its sequences lives.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "engine/engine.h"

namespace guildhall {

// What the engine thread has to learn: who has an index from now on.
struct TaskChange {
  int32_t task = 0;         // index
  uint64_t generation = 0;  // of the task that has it, unique for ever; 0: nobody has it
  double weight = 1.0;
  int max_running = 0;
};

struct TaskCounts {
  int queued = 0, running = 0;  // each accepted sequence is one or the other until it ends
  uint64_t accepted = 0, rejected = 0;
};

// Not thread-safe: the request queue's lock guards it. An index is taken again only when its task was deleted
// and none of its sequences is queued or running; counts and generation are then new.
class TaskTable {
 public:
  struct Entry {
    TaskPolicy policy;
    TaskCounts counts;
    uint64_t generation = 0;  // 0: free
    bool live = false;        // takes new requests
    bool changed = false;     // the engine thread does not know yet
  };

  // Adds, or changes the policy of the live task with that id. RESOURCE_EXHAUSTED; INVALID_ARGUMENT for a
  // policy out of bounds. Where it throws nothing has changed.
  absl::Status Put(const TaskPolicy& policy);
  // NOT_FOUND; INVALID_ARGUMENT for the base.
  absl::Status Delete(const std::string& id);

  // The index of a live task, or -1.
  int32_t Find(const std::string& id) const;
  Entry& operator[](int32_t task) { return entries_[static_cast<size_t>(task)]; }
  const std::vector<Entry>& entries() const { return entries_; }

  // A sequence of the task has left the counts: an index that nobody needs becomes free.
  void Left(int32_t task);

  // What has changed since the last call; `changes` is overwritten. Where it throws nothing is lost.
  void TakeChanges(std::vector<TaskChange>& changes);

 private:
  void FreeIfUnused(Entry& entry);

  std::vector<Entry> entries_;  // (indices ever used)
  std::unordered_map<std::string, int32_t> live_;
  uint64_t last_generation_ = 0;
  bool changed_ = false;
};

absl::Status NoSuchTask(const std::string& id);

}  // namespace guildhall
