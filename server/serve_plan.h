// From a configuration to all that serving it takes but the weights: what Serve() begins with, and what
// tells a wrong configuration without serving it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/server_config.h"
#include "runtime/model_files.h"
#include "runtime/served_model.h"
#include "server/deployment.h"

namespace guildhall {

struct ServePlan {
  ServedModelOptions model;
  ModelFiles files;
  DeploymentPlan deployment;
};

// INVALID_ARGUMENT naming the key, where there is no model or a value is not one of its kind.
absl::StatusOr<ServedModelOptions> ModelOptions(const ServerConfig& config);

// Errors name the key or the file: as ModelOptions, OpenModelFiles and PlanDeployment.
absl::StatusOr<ServePlan> PlanServe(const ServerConfig& config);

// What Serve() would refuse, found without opening a port or reading weights: the same plan, the adapters'
// manifests, and which of them go together. The model's folder, the roots and the files of secrets may be on
// another machine: what is absent is not judged. `unchecked` gets a line for that, and for each thing which
// only the serving machine can tell.
// `notes` gets what the folder's files disagree in.
absl::Status CheckServe(const ServerConfig& config, std::vector<std::string>& unchecked,
                        std::vector<std::string>& notes);

}  // namespace guildhall
