// expert_cfg.json: which experts an ESFT adapter replaces.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

struct EsftConfig {
  std::map<int, std::set<int>> experts;  // layer -> logical experts
  bool shared_experts = false;
  std::vector<std::string> waived;  // keys that pass because they are in `ignored`
};

// INVALID_ARGUMENT: malformed, a duplicate or something that the model does not have; FAILED_PRECONDITION:
// non_expert_modules. `what` (the file) begins the messages.
absl::StatusOr<EsftConfig> ParseEsftConfig(const Json& json, const std::string& what, const ModelSpec& spec,
                                           const std::vector<std::string>& ignored = {});

}  // namespace guildhall
