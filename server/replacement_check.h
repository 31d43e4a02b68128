// Whether the tasks that use an adapter can go on with a new version of it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/task_registry.h"
#include "weights/compatibility.h"

namespace guildhall {

// Of the version that serves under a name; null: there is none.
using ChangesByName = std::function<std::shared_ptr<const AdapterChanges>(const std::string& name)>;

// Whether a task that has the adapter alone can go on with the new version's text side.
using TextCheck = std::function<absl::Status(const Task& task)>;

// FAILED_PRECONDITION where the adapter `name`, once it makes these changes, could not serve some of `tasks`
// (compatibility.h has the rule, `text` the one of its text side): names them, why and the cure. A task's
// adapters that do not serve now are not asked.
absl::Status CheckReplacement(const std::string& name, const AdapterChanges& changes,
                              const TaskSnapshot& tasks, const ChangesByName& serving, const TextCheck& text);

}  // namespace guildhall
