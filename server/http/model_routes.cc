#include "server/http/model_routes.h"

#include <memory>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "server/guarded.h"
#include "server/http/model_names.h"

namespace guildhall {
namespace {

constexpr std::string_view kModels = "/v1/models";

Json ModelJson(const std::string& id, const std::string& base, int64_t created, int64_t context_tokens) {
  Json model = Json::object();
  model["id"] = id;
  model["object"] = "model";
  model["created"] = created;
  model["owned_by"] = "guildhall";
  model["root"] = id;
  if (id == base) {
    model["parent"] = nullptr;
  } else {
    model["parent"] = base;
  }
  model["max_model_len"] = context_tokens;
  return model;
}

// The base first, then the tasks by id.
Json ModelList(const ServerState& state, const HttpConfig& http, const Deployment& deployment) {
  const std::string base = BaseModelName(http, deployment);
  const int64_t created = absl::ToUnixSeconds(state.started_at());
  const int64_t context = deployment.limits.context_tokens;
  const auto tasks = deployment.tasks->Snapshot();
  Json list = Json::array();
  if (!tasks->contains(base)) list.push_back(ModelJson(base, base, created, context));
  for (const auto& [id, task] : *tasks) {
    if (!id.empty()) list.push_back(ModelJson(id, base, created, context));
  }
  return list;
}

// Percent-encoded names as they are meant; what is no encoding stays.
std::string Decoded(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? digit(text[i + 1]) : -1;
    const int low = high < 0 ? -1 : digit(text[i + 2]);
    out += low < 0 ? text[i] : static_cast<char>(high * 16 + low);
    if (low >= 0) i += 2;
  }
  return out;
}

absl::StatusOr<std::string> Answer(const ServerState& state, const HttpConfig& http,
                                   const std::string& path) {
  GH_ASSIGN_OR_RETURN(const auto deployment, state.ForRequest());
  const Json list = ModelList(state, http, *deployment);
  if (path == kModels) return DumpJson(Json{{"object", "list"}, {"data", list}});
  const std::string wanted = Decoded(std::string_view(path).substr(kModels.size() + 1));
  for (const Json& model : list) {
    if (model["id"] == wanted) return DumpJson(model);
  }
  GH_RETURN_IF_ERROR(TaskOfModel(http, *deployment, wanted).status());
  return absl::InternalError("a model without a name");
}

}  // namespace

std::vector<HttpRoute> ModelRoutes(const ServerState& state, const HttpConfig& http) {
  const auto answer = [&state, http](const std::shared_ptr<HttpCall>& call) {
    const absl::Status answered = Guarded([&]() -> absl::Status {
      GH_ASSIGN_OR_RETURN(const std::string body, Answer(state, http, call->request().path));
      call->Respond(200, "application/json", body);
      return absl::OkStatus();
    });
    if (!answered.ok()) call->RespondError(answered);
  };
  return {HttpRoute{"GET", std::string(kModels), CallKind::kQuery, answer},
          HttpRoute{"GET", std::string(kModels) + "/", CallKind::kQuery, answer}};
}

}  // namespace guildhall
