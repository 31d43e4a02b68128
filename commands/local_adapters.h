// Adapters for the commands that run a model without a server.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "commands/token_files.h"
#include "runtime/base_model.h"
#include "weights/weight_manager.h"

namespace guildhall {

// "NAME=DIR", from a repeatable flag.
struct NamedFolder {
  std::string name, directory;
};
// INVALID_ARGUMENT for one without '=', without a name or a folder, and for a name given twice.
absl::StatusOr<std::vector<NamedFolder>> ParseNamedFolders(const std::vector<std::string>& flags);

// A weight manager over `model`, which outlives it.
std::unique_ptr<WeightManager> MakeLocalManager(const BaseModel& model);

// `ignore_config_keys`: unknown keys of the adapters' configurations that are harmless.
absl::Status LoadFolders(WeightManager& manager, const BaseModel& model,
                         const std::vector<NamedFolder>& folders,
                         const std::vector<std::string>& ignore_config_keys);

// The adapters that a sequence of a tokens file names (its task: the adapter of that name); null for none.
absl::StatusOr<std::shared_ptr<const AdapterSet>> AcquireFor(WeightManager& manager,
                                                             const TokenSequence& sequence);

}  // namespace guildhall
