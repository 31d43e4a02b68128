#include "server/replacement_check.h"

#include <algorithm>
#include <vector>

#include "base/str_cat.h"

namespace guildhall {
namespace {

// What both replace first; empty: nothing.
std::string ReplacedByBoth(const AdapterTraits& a, const AdapterTraits& b) {
  for (const auto& place : a.replaced) {
    if (!b.replaced.contains(place)) continue;
    const auto [layer, expert] = place;
    const std::string what = expert < 0 ? std::string("the shared experts") : StrCat("expert ", expert);
    return StrCat(what, " of layer ", layer);
  }
  return "";
}

// Why a task with these adapters cannot have `name` as `traits`, to be read after the tasks' names; empty: it
// can.
std::string ReasonAgainst(const std::string& name, const AdapterTraits& traits, const Task& task,
                          const std::map<std::string, AdapterTraits>& loaded) {
  const auto own = std::find_if(task.adapters.begin(), task.adapters.end(),
                                [&](const AdapterUse& use) { return use.name == name; });
  if (own == task.adapters.end()) return "";
  if (own->scale != 1.0f && (traits.dora || !traits.replaced.empty())) {
    return StrCat("a factor other than 1, which has no meaning for an adapter that ",
                  traits.dora ? "is DoRA" : "replaces experts", "; put the task with the factor 1 first");
  }
  for (const AdapterUse& use : task.adapters) {
    const auto other = loaded.find(use.name);
    if (use.name == name || other == loaded.end()) continue;
    const std::string what = ReplacedByBoth(traits, other->second);
    if (!what.empty()) {
      return StrCat(use.name, " beside it, and both would replace ", what, "; put the task with one of them");
    }
  }
  return "";
}

}  // namespace

AdapterTraits TraitsOf(const AdapterManifest& manifest) {
  AdapterTraits traits;
  traits.dora = std::any_of(manifest.low_rank.begin(), manifest.low_rank.end(),
                            [](const LowRankChange& change) { return change.dora; });
  for (const ReplacedFfn& ffn : manifest.replaced) traits.replaced.emplace(ffn.layer, ffn.expert);
  return traits;
}

absl::Status CheckReplacement(const std::string& name, const AdapterTraits& traits, const TaskSnapshot& tasks,
                              const std::map<std::string, AdapterTraits>& loaded) {
  std::map<std::string, std::vector<std::string>> refused;  // tasks by reason
  for (const auto& [id, task] : tasks) {
    const std::string reason = ReasonAgainst(name, traits, *task, loaded);
    if (!reason.empty()) refused[reason].push_back(id);
  }
  if (refused.empty()) return absl::OkStatus();
  std::string message =
      StrCat("adapter ", name, ": tasks that use it could not be served with this version: ");
  bool first = true;
  for (const auto& [reason, ids] : refused) {
    StrAppend(&message, first ? "" : "; ", TaskNames(ids), ids.size() == 1 ? " has " : " have ", reason);
    first = false;
  }
  return absl::FailedPreconditionError(message);
}

}  // namespace guildhall
