// The list "adapters" of a task: names, or names with factors.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "config/server_config.h"

namespace guildhall {

inline constexpr size_t kMaxTaskAdapters = 16;
inline constexpr double kMaxAdapterScale = 1000.0;

// INVALID_ARGUMENT begins with `where` and the place in the list.
absl::StatusOr<std::vector<TaskAdapter>> ReadTaskAdapters(const Json& value, const std::string& where);

// A name alone where the factor is 1.
Json TaskAdaptersJson(const std::vector<TaskAdapter>& adapters);

}  // namespace guildhall
