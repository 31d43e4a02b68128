// What clients of OpenAI's interface call the tasks and the base: `model`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "config/server_config.h"
#include "server/deployment.h"

namespace guildhall {

// http.model_name, else the name of the model's folder.
std::string BaseModelName(const HttpConfig& http, const Deployment& deployment);

// The task that `model` names; "" and the base's name are the base, unless a task is called so.
// NOT_FOUND with a ResourceInfo of the type "model", never the base instead.
absl::StatusOr<std::string> TaskOfModel(const HttpConfig& http, const Deployment& deployment,
                                        const std::string& model);

}  // namespace guildhall
