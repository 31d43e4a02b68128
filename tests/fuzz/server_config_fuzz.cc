// Whatever the text of a configuration file, or of KEY=VALUE: a refusal, or a configuration whose values the
// keys would all take again.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>

#include "base/check.h"
#include "config/keys.h"
#include "config/loader.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

template <typename Owner>
void CheckKeys(const std::vector<ConfigKey<Owner>>& keys, Owner owner) {
  Owner again;
  for (const auto& key : keys) {
    const Json value = key.Get(owner);
    if (key.secret && value == Json("")) continue;  // no secret is what is left out, not what is given
    GH_CHECK(key.Assign(value, key.path, again).ok());
    GH_CHECK(key.Get(again) == value);
  }
}

void CheckLoaded(const absl::StatusOr<LoadedConfig>& loaded) {
  if (!loaded.ok()) {
    GH_CHECK(loaded.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  const ServerConfig& config = loaded->config;
  GH_CHECK(CheckConfig(config).ok());
  CheckKeys(ServerKeys(), config);
  for (const auto& [id, task] : config.tasks) {
    GH_CHECK_EQ(id, task.id);
    CheckKeys(TaskKeys(), task);
  }
  for (const auto& [name, adapter] : config.adapters.preload) {
    GH_CHECK_EQ(name, adapter.name);
    CheckKeys(AdapterKeys(), adapter);
  }
  (void)EffectiveConfigText(*loaded);
}

}  // namespace
}  // namespace guildhall

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  static const TempFolder folder;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::string path = folder / "server.json";
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  CheckLoaded(LoadConfig({{path}, {}, {}}));
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return 0;
  CheckLoaded(LoadConfig({{}, {}, {{text.substr(0, equals), text.substr(equals + 1), "--set"}}}));
  CheckLoaded(LoadConfig({{}, {{"GUILDHALL_" + text.substr(0, equals), text.substr(equals + 1)}}, {}}));
  return 0;
}
