#include "server/replacement_check.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/str_cat.h"

namespace guildhall {
namespace {

// Why a task cannot have `name` with these changes, to be read after the tasks' names; empty: it can.
std::string ReasonAgainst(const std::string& name, const AdapterChanges& changes, const Task& task,
                          const ChangesByName& serving, const TextCheck& text) {
  const bool uses_it = std::any_of(task.adapters.begin(), task.adapters.end(),
                                   [&](const AdapterUse& use) { return use.name == name; });
  if (!uses_it) return "";
  if (task.adapters.size() == 1) {
    if (const absl::Status status = text(task); !status.ok()) return std::string(status.message());
  }
  std::vector<std::shared_ptr<const AdapterChanges>> held;
  std::vector<ChosenAdapter> chosen;
  for (const AdapterUse& use : task.adapters) {
    const AdapterChanges* its_changes = &changes;
    if (use.name != name) {
      held.push_back(serving(use.name));
      its_changes = held.back().get();
    }
    if (its_changes != nullptr) chosen.push_back({use.name, use.scale, its_changes});
  }
  const std::optional<Clash> clash = FindClash(chosen);
  if (!clash) return "";
  return clash->reason +
         (clash->factor ? "; put the task with the factor 1 first" : "; put the task with one of them first");
}

}  // namespace

absl::Status CheckReplacement(const std::string& name, const AdapterChanges& changes,
                              const TaskSnapshot& tasks, const ChangesByName& serving,
                              const TextCheck& text) {
  std::map<std::string, std::vector<std::string>> refused;  // tasks by reason
  for (const auto& [id, task] : tasks) {
    const std::string reason = ReasonAgainst(name, changes, *task, serving, text);
    if (!reason.empty()) refused[reason].push_back(id);
  }
  if (refused.empty()) return absl::OkStatus();
  std::string message =
      StrCat("adapter ", name, ": tasks that use it could not be served with this version: ");
  bool first = true;
  for (const auto& [reason, ids] : refused) {
    StrAppend(&message, first ? "" : "; ", TaskNames(ids), ": ", reason);
    first = false;
  }
  return absl::FailedPreconditionError(message);
}

}  // namespace guildhall
