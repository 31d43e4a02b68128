// From files, environment and flags to one ServerConfig, with the origin of every value.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "config/server_config.h"

namespace guildhall {

// Later beats earlier: defaults, files in order, environment, overrides in order.
struct ConfigSources {
  std::vector<std::string> files;  // JSON with comments
  // NAME=VALUE of the process; names that do not begin with GUILDHALL_ are ignored. A key's name is its path
  // in upper case with "_" for ".": server.listen is GUILDHALL_SERVER_LISTEN. GUILDHALL_TASKS takes the whole
  // "tasks" object, GUILDHALL_ADAPTERS_PRELOAD that of "adapters.preload".
  std::map<std::string, std::string> environment;
  // KEY=VALUE of --set and of the flags that stand for a key; tasks.ID.KEY reaches into a task,
  // adapters.preload.NAME.KEY into an adapter.
  struct Override {
    std::string key, value;
    std::string origin;  // "--set", "--port"
  };
  std::vector<Override> overrides;
};

struct LoadedConfig {
  ServerConfig config;
  std::map<std::string, std::string>
      origins;  // key -> "file NAME", "environment NAME", "--set"; absent: default
};

// INVALID_ARGUMENT names the source, the key, the expected and the found; an unknown key names the nearest
// known one. The result has passed CheckConfig.
absl::StatusOr<LoadedConfig> LoadConfig(const ConfigSources& sources);

// What one key alone cannot tell: keys that need or exclude each other. `model.path` may be empty.
absl::Status CheckConfig(const ServerConfig& config);

// One task or adapter as the file has it, without its name; `what` begins messages. INVALID_ARGUMENT names
// the key.
absl::StatusOr<TaskConfig> ReadTaskConfig(const Json& json, const std::string& what);
absl::StatusOr<AdapterConfig> ReadAdapterConfig(const Json& json, const std::string& what);

// One line per key: value and origin; secrets as ***.
std::string EffectiveConfigText(const LoadedConfig& loaded);

}  // namespace guildhall
