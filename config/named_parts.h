// The parts of the configuration whose members a user names: "tasks" and "adapters.preload".
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/keys.h"
#include "config/names.h"

namespace guildhall {

template <typename Owner>
struct NamedParts {
  std::string_view path;
  const std::vector<ConfigKey<Owner>>& (*keys)();
  std::map<std::string, Owner>& (*members)(ServerConfig&);
  std::string Owner::*name;
  bool (*valid)(std::string_view);
  std::string_view what;  // a valid name is called in messages
  std::string_view rule;  // for it, in words
};

inline std::map<std::string, TaskConfig>& TasksOf(ServerConfig& config) {
  return config.tasks;
}
inline std::map<std::string, AdapterConfig>& PreloadOf(ServerConfig& config) {
  return config.adapters.preload;
}

inline constexpr NamedParts<TaskConfig> kTaskParts{
    .path = "tasks",
    .keys = TaskKeys,
    .members = TasksOf,
    .name = &TaskConfig::id,
    .valid = ValidTaskId,
    .what = "task id",
    .rule = kTaskIdRule,
};
inline constexpr NamedParts<AdapterConfig> kAdapterParts{
    .path = "adapters.preload",
    .keys = AdapterKeys,
    .members = PreloadOf,
    .name = &AdapterConfig::name,
    .valid = ValidAdapterName,
    .what = "adapter's name",
    .rule = kAdapterNameRule,
};

// What `attempt`, which gives an optional, makes of the first part that it takes.
template <typename Attempt>
auto FirstOfParts(Attempt&& attempt) {
  auto result = attempt(kTaskParts);
  return result ? result : attempt(kAdapterParts);
}

}  // namespace guildhall
