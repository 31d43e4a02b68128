#include "server/http/model_names.h"

#include "base/json.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {

std::string BaseModelName(const HttpConfig& http, const Deployment& deployment) {
  if (!http.model_name.empty()) return http.model_name;
  return deployment.model.name.empty() ? "base" : deployment.model.name;
}

absl::StatusOr<std::string> TaskOfModel(const HttpConfig& http, const Deployment& deployment,
                                        const std::string& model) {
  if (deployment.tasks->Snapshot()->contains(model)) return model;
  if (model == BaseModelName(http, deployment)) return std::string();
  return WithResource(
      absl::NotFoundError(StrCat("the model ", Quote(model), " does not exist; GET /v1/models lists them")),
      "model", model);
}

}  // namespace guildhall
