#include "server/http/token_routes.h"

#include <functional>
#include <memory>
#include <utility>

#include "base/memory_account.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/guarded.h"
#include "server/http/chat_messages.h"
#include "server/http/field_names.h"
#include "server/http/json_values.h"
#include "server/http/model_names.h"
#include "server/inference_queries.h"

namespace guildhall {
namespace {

using Answer =
    std::function<absl::StatusOr<Json>(const Json& body, const Deployment& deployment, const Call& call)>;

absl::Status ReadTask(const Json& body, const Deployment& deployment, const HttpConfig& http,
                      std::string& task) {
  std::string model;
  if (const Json* const given = ValueOf(body, "model")) {
    GH_ASSIGN_OR_RETURN(model, StringOf(*given, "model"));
  }
  GH_ASSIGN_OR_RETURN(task, TaskOfModel(http, deployment, model));
  return absl::OkStatus();
}

absl::StatusOr<TokenizeRules> ReadInput(const Json& body, FieldNames& names, v1::TokenizeRequest& request) {
  TokenizeRules rules;
  if (const Json* const add = ValueOf(body, "add_special_tokens")) {
    GH_ASSIGN_OR_RETURN(rules.add_special, BoolOf(*add, "add_special_tokens"));
  }
  if (const Json* const messages = ValueOf(body, "messages")) {
    GH_RETURN_IF_ERROR(ReadMessages(*messages, *request.mutable_chat()));
    if (const Json* const add = ValueOf(body, "add_generation_prompt")) {
      GH_ASSIGN_OR_RETURN(const bool begins, BoolOf(*add, "add_generation_prompt"));
      request.mutable_chat()->set_add_generation_prompt(begins);
    }
    return rules;
  }
  names.kind = ApiKind::kCompletions;
  const Json* const prompt = ValueOf(body, "prompt");
  if (prompt == nullptr) return FieldError("prompt", "expected a string, or messages instead, found none");
  GH_ASSIGN_OR_RETURN(*request.mutable_text(), StringOf(*prompt, "prompt"));
  return rules;
}

absl::StatusOr<Json> Tokenize(const ServerState& state, const HttpConfig& http, const Json& body,
                              const Deployment& deployment, const Call& call) {
  v1::TokenizeRequest request;
  FieldNames names;
  GH_RETURN_IF_ERROR(ReadTask(body, deployment, http, *request.mutable_task()));
  GH_ASSIGN_OR_RETURN(const TokenizeRules rules, ReadInput(body, names, request));
  bool pieces = false;
  if (const Json* const asked = ValueOf(body, "return_token_strs")) {
    GH_ASSIGN_OR_RETURN(pieces, BoolOf(*asked, "return_token_strs"));
  }
  request.set_pieces(pieces);
  v1::TokenizeResponse response;
  if (absl::Status status = AnswerTokenize(state, request, call, response, rules); !status.ok()) {
    return InTermsOf(names, status);
  }
  Json json = Json::object();
  json["count"] = response.token_ids_size();
  json["max_model_len"] = deployment.limits.context_tokens;
  json["tokens"] = std::vector<int32_t>(response.token_ids().begin(), response.token_ids().end());
  json["token_strs"] = nullptr;
  if (pieces)
    json["token_strs"] = std::vector<std::string>(response.pieces().begin(), response.pieces().end());
  return json;
}

absl::StatusOr<Json> Detokenize(const ServerState& state, const HttpConfig& http, const Json& body,
                                const Deployment& deployment, const Call& call) {
  v1::TokenizeRequest request;
  GH_RETURN_IF_ERROR(ReadTask(body, deployment, http, *request.mutable_task()));
  const Json* const tokens = ValueOf(body, "tokens");
  if (tokens == nullptr) return FieldError("tokens", "expected an array, found none");
  GH_RETURN_IF_ERROR(MustBeArray(*tokens, "tokens"));
  if (tokens->empty()) return Json{{"prompt", ""}};
  for (size_t i = 0; i < tokens->size(); ++i) {
    GH_ASSIGN_OR_RETURN(const int32_t id, TokenOf((*tokens)[i], StrCat("tokens[", i, "]")));
    request.mutable_token_ids()->add_ids(id);
  }
  FieldNames names;
  names.kind = ApiKind::kCompletions;
  names.prompt = "tokens";
  v1::TokenizeResponse response;
  if (absl::Status status = AnswerTokenize(state, request, call, response); !status.ok()) {
    return InTermsOf(names, status);
  }
  return Json{{"prompt", response.text()}};
}

Json TokenJson(const std::optional<NamedToken>& token) {
  return token ? Json(token->text) : Json(nullptr);
}

absl::StatusOr<Json> TokenizerInfo(const Deployment& deployment) {
  const TextAssets& text = deployment.text;
  if (text.tokenizer == nullptr) {
    return PreconditionError("TOKENIZER", "model", "the model folder has no tokenizer");
  }
  Json json = Json::object();
  json["bos_token"] = TokenJson(text.bos);
  json["eos_token"] = TokenJson(text.eos);
  json["pad_token"] = TokenJson(text.pad);
  json["unk_token"] = TokenJson(text.unk);
  json["vocab_size"] = deployment.limits.vocabulary;
  json["model_max_length"] = deployment.limits.context_tokens;
  const auto chat = text.templates.find("default");
  json["chat_template"] = chat == text.templates.end() ? Json(nullptr) : Json(chat->second.source);
  return json;
}

HttpRoute Route(const ServerState& state, const char* method, const char* path, Answer answer) {
  const auto handle = [&state, answer](const std::shared_ptr<HttpCall>& call) {
    const absl::Status answered = Guarded([&]() -> absl::Status {
      GH_ASSIGN_OR_RETURN(const auto deployment, state.ForRequest());
      const std::string body = call->TakeBody();
      MemoryCharge charge(*deployment->request_memory);
      GH_RETURN_IF_ERROR(charge.Add(TreeBytes(body)));
      Json json = Json::object();
      if (call->request().method == "POST") {
        GH_ASSIGN_OR_RETURN(json, ParseBody(body));
      }
      GH_ASSIGN_OR_RETURN(const Json response, answer(json, *deployment, *call));
      call->Respond(200, "application/json", DumpJson(response));
      return absl::OkStatus();
    });
    if (!answered.ok()) call->RespondError(answered);
  };
  return {method, path, CallKind::kQuery, handle};
}

}  // namespace

std::vector<HttpRoute> TokenRoutes(const ServerState& state, const HttpConfig& http) {
  return {Route(state, "POST", "/tokenize",
                [&state, http](const Json& body, const Deployment& deployment, const Call& call) {
                  return Tokenize(state, http, body, deployment, call);
                }),
          Route(state, "POST", "/detokenize",
                [&state, http](const Json& body, const Deployment& deployment, const Call& call) {
                  return Detokenize(state, http, body, deployment, call);
                }),
          Route(state, "GET", "/tokenizer_info", [](const Json&, const Deployment& deployment, const Call&) {
            return TokenizerInfo(deployment);
          })};
}

}  // namespace guildhall
