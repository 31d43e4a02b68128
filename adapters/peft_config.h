// adapter_config.json of a PEFT LoRA folder, as plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace guildhall {

// Which modules: a list of names (exact, or the end of a full name), or one regular expression on full names.
struct ModuleChoice {
  std::vector<std::string> names;
  std::optional<std::string> pattern;
  bool all_linear = false;

  bool empty() const { return names.empty() && !pattern && !all_linear; }
};

struct PeftConfig {
  std::string base_name;     // as recorded; empty: unknown
  std::string peft_version;  // "0.21.2"; empty: not recorded (before 0.18)
  int64_t rank = 0;
  double alpha = 8.0;            // PEFT's own where the key is absent
  bool rank_stabilised = false;  // scale alpha / sqrt(rank) instead of alpha / rank
  bool dora = false;
  ModuleChoice targets, excluded;
  std::vector<std::string> target_parameters;
  std::optional<std::vector<int64_t>> layers;  // layers_to_transform; nothing: all
  std::vector<std::string> layers_patterns;
  // Regular expressions on the end of full names; the first that matches wins.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  std::vector<std::string> waived;  // keys that pass because they are in `ignored`
};

// Every key is known, or known to change nothing, or null or false: all else is refused by name, and so is
// each known one that asks for something that is not served. An unknown one passes if its name begins with an
// underscore or is in `ignored`. INVALID_ARGUMENT: malformed; FAILED_PRECONDITION: not served. `what` (the
// file) begins the messages.
absl::StatusOr<PeftConfig> ParsePeftConfig(const Json& json, const std::string& what,
                                           const std::vector<std::string>& ignored = {});

}  // namespace guildhall
