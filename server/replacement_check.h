// Whether the tasks that use an adapter can go on with a new version of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/task_registry.h"
#include "weights/adapter_source.h"

namespace guildhall {

// Of a version, what decides by which factor and beside whom it can be used.
struct AdapterTraits {
  bool dora = false;
  std::set<std::pair<int, int>> replaced;  // (layer, expert); expert -1: the layer's shared experts
};

AdapterTraits TraitsOf(const AdapterManifest& manifest);

// FAILED_PRECONDITION where the adapter `name`, once it is `traits`, could not serve some of `tasks`: names
// them, why and the cure. A factor other than 1 for what replaces experts or is DoRA; an expert that another
// adapter of the task replaces too (its traits are in `loaded`; one that is not there is not checked).
absl::Status CheckReplacement(const std::string& name, const AdapterTraits& traits, const TaskSnapshot& tasks,
                              const std::map<std::string, AdapterTraits>& loaded);

}  // namespace guildhall
