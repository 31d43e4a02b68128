// What the tensor names of a PEFT file say: which tools wrote them, and why one of them has no use.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "adapters/adapter_files.h"
#include "adapters/model_modules.h"
#include "adapters/peft_config.h"

namespace guildhall {

// In front of every module's name in a file of PEFT.
inline constexpr std::string_view kPeftPrefix = "base_model.model.";

struct PeftDialect {
  ExpertModules experts = ExpertModules::kStacked;
  std::string prefix = "model.";  // "" where the bare decoder was trained
  bool sure = true;               // false: nothing in the file tells how experts were held
};

// From the names and the configuration. INVALID_ARGUMENT when the names are of two generations at once.
absl::StatusOr<PeftDialect> DetectDialect(const PeftConfig& config, const std::string& what,
                                          const AdapterFiles& files);

// ": a router would change ..." for modules that are never served.
std::string UnservedReason(const ModelModule& module);

// What the tensor `name` is, which nothing in the configuration asks for, and the cure.
std::string LeftoverReason(std::string_view name, const PeftConfig& config, const ModelModules& modules,
                           const ModelSpec& spec);

}  // namespace guildhall
