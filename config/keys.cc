#include "config/keys.h"

#include "config/key_group.h"

namespace guildhall {

const std::vector<ConfigKey<ServerConfig>>& ServerKeys() {
  static const auto* const keys = [] {
    auto* list = new KeyList<ServerConfig>;
    AddModelKeys(*list);
    AddEngineKeys(*list);
    AddListenerKeys(*list);
    AddSamplingKeys(RootGroup(*list).Inside("sampling", &ServerConfig::sampling));
    return list;
  }();
  return *keys;
}

}  // namespace guildhall
