#include "server/http/read_request.h"

#include <charconv>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/http/chat_messages.h"
#include "server/http/json_values.h"
#include "server/http/model_names.h"
#include "server/http/prompt_forms.h"
#include "server/task_text.h"

namespace guildhall {
namespace {

// One field of SamplingOptions by its type.
absl::Status SetField(const Json& value, const std::string& path, const std::string& name,
                      v1::SamplingOptions& to) {
  using google::protobuf::FieldDescriptor;
  const FieldDescriptor* const field = v1::SamplingOptions::descriptor()->FindFieldByName(name);
  GH_CHECK(field != nullptr);
  const auto* const reflection = v1::SamplingOptions::GetReflection();
  if (field->is_repeated()) {
    GH_RETURN_IF_ERROR(MustBeArray(value, path));
    for (size_t i = 0; i < value.size(); ++i) {
      GH_ASSIGN_OR_RETURN(const int32_t token, TokenOf(value[i], StrCat(path, "[", i, "]")));
      reflection->AddInt32(&to, field, token);
    }
    return absl::OkStatus();
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT: {
      GH_ASSIGN_OR_RETURN(const float number, NumberOf(value, path));
      reflection->SetFloat(&to, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      GH_ASSIGN_OR_RETURN(const int64_t number, IntOf(value, path));
      reflection->SetInt64(&to, field, number);
      return absl::OkStatus();
    }
    default: {
      GH_CHECK(field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL);
      GH_ASSIGN_OR_RETURN(const bool flag, BoolOf(value, path));
      reflection->SetBool(&to, field, flag);
      return absl::OkStatus();
    }
  }
}

absl::Status ReadStop(const Json& stop, v1::SamplingOptions& to) {
  if (stop.is_string()) {
    to.add_stop(stop.get<std::string>());
    return absl::OkStatus();
  }
  if (!stop.is_array()) return WrongValue("stop", "a string or an array of strings", stop);
  for (size_t i = 0; i < stop.size(); ++i) {
    GH_ASSIGN_OR_RETURN(*to.add_stop(), StringOf(stop[i], StrCat("stop[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status ReadLogitBias(const Json& biases, v1::SamplingOptions& to) {
  GH_RETURN_IF_ERROR(MustBeObject(biases, "logit_bias"));
  for (const auto& [key, value] : biases.items()) {
    int32_t token = 0;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), token);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size()) {
      return FieldError("logit_bias", StrCat("expected token ids as keys, found ", Quote(key)));
    }
    GH_ASSIGN_OR_RETURN(const float bias, NumberOf(value, StrCat("logit_bias[", token, "]")));
    (*to.mutable_logit_bias())[token] = bias;
  }
  return absl::OkStatus();
}

// Any whole number of 64 bits, with a sign or without.
absl::StatusOr<uint64_t> SeedOf(const Json& seed) {
  if (seed.is_number_unsigned()) return seed.get<uint64_t>();
  GH_ASSIGN_OR_RETURN(const int64_t number, IntOf(seed, "seed"));
  return static_cast<uint64_t>(number);
}

absl::Status ReadSampling(ApiKind kind, const Json& body, v1::SamplingOptions& to) {
  for (const RequestField& field : RequestFields()) {
    if (field.sampling.empty()) continue;
    if (const Json* const value = ValueOf(body, field.name)) {
      GH_RETURN_IF_ERROR(SetField(*value, std::string(field.name), std::string(field.sampling), to));
    }
  }
  if (const Json* const stop = ValueOf(body, "stop")) GH_RETURN_IF_ERROR(ReadStop(*stop, to));
  if (const Json* const biases = ValueOf(body, "logit_bias")) GH_RETURN_IF_ERROR(ReadLogitBias(*biases, to));
  const bool newer = kind == ApiKind::kChat && ValueOf(body, "max_completion_tokens") != nullptr;
  const std::string name = newer ? "max_completion_tokens" : "max_tokens";
  if (const Json* const most = ValueOf(body, name)) {
    GH_RETURN_IF_ERROR(SetField(*most, name, "max_tokens", to));
  }
  return absl::OkStatus();
}

absl::Status ReadFlag(const Json& object, std::string_view key, const std::string& path, bool& to) {
  const Json* const value = ValueOf(object, key);
  if (value == nullptr) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(to, BoolOf(*value, path));
  return absl::OkStatus();
}

absl::Status ReadStreaming(const Json& body, ApiRequest& request) {
  GH_RETURN_IF_ERROR(ReadFlag(body, "stream", "stream", request.stream));
  const Json* const options = ValueOf(body, "stream_options");
  if (options == nullptr) return absl::OkStatus();
  GH_RETURN_IF_ERROR(MustBeObject(*options, "stream_options"));
  if (!request.stream) return FieldError("stream_options", "belongs to stream: true");
  GH_RETURN_IF_ERROR(
      ReadFlag(*options, "include_usage", "stream_options.include_usage", request.include_usage));
  return ReadFlag(*options, "continuous_usage_stats", "stream_options.continuous_usage_stats",
                  request.continuous_usage);
}

absl::Status ReadLogprobs(const Json& body, ApiRequest& request, v1::LogprobOptions& to) {
  const Json* const asked = ValueOf(body, "logprobs");
  if (request.kind == ApiKind::kCompletions) {
    GH_RETURN_IF_ERROR(ReadFlag(body, "echo", "echo", request.echo));
    if (asked == nullptr) return absl::OkStatus();
    GH_ASSIGN_OR_RETURN(const int64_t top, IntOf(*asked, "logprobs"));
    request.logprobs = true;
    to.set_chosen(true);
    to.set_top(top);
    to.set_prompt(request.echo);
    return absl::OkStatus();
  }
  if (asked != nullptr) {
    GH_ASSIGN_OR_RETURN(request.logprobs, BoolOf(*asked, "logprobs"));
  }
  to.set_chosen(request.logprobs);
  if (const Json* const top = ValueOf(body, "top_logprobs")) {
    GH_ASSIGN_OR_RETURN(const int64_t number, IntOf(*top, "top_logprobs"));
    if (!request.logprobs && number != 0) return FieldError("top_logprobs", "belongs to logprobs: true");
    to.set_top(number);
  }
  return absl::OkStatus();
}

absl::Status ReadChat(const Json& body, ApiPrompt& prompt) {
  v1::ChatInput& chat = *prompt.request.mutable_chat();
  const Json* const messages = ValueOf(body, "messages");
  if (messages == nullptr) return FieldError("messages", "expected an array, found none");
  GH_RETURN_IF_ERROR(ReadMessages(*messages, chat));
  if (const Json* const add = ValueOf(body, "add_generation_prompt")) {
    GH_ASSIGN_OR_RETURN(const bool begins, BoolOf(*add, "add_generation_prompt"));
    chat.set_add_generation_prompt(begins);
  }
  Json variables = Json::object();
  if (const Json* const given = ValueOf(body, "chat_template_kwargs")) {
    GH_RETURN_IF_ERROR(MustBeObject(*given, "chat_template_kwargs"));
    variables = *given;
  }
  if (const Json* const effort = ValueOf(body, "reasoning_effort")) {
    GH_ASSIGN_OR_RETURN(variables["reasoning_effort"], StringOf(*effort, "reasoning_effort"));
  }
  if (!variables.empty()) chat.set_template_variables_json(DumpJson(variables));
  return absl::OkStatus();
}

// By the tokenizer that serves the task.
absl::Status DecodeEcho(const std::vector<int32_t>& ids, const Deployment& deployment, ApiPrompt& prompt) {
  const auto task = deployment.tasks->Find(prompt.request.task());
  if (!task.ok()) return absl::OkStatus();
  const auto adapter =
      deployment.adapters == nullptr ? nullptr : deployment.adapters->Text((*task)->adapters);
  const TextAssets& text = ServingText(deployment.text, adapter.get());
  if (text.tokenizer == nullptr) return absl::OkStatus();
  auto decoded = text.tokenizer->Decode(ids, /*skip_special=*/false);
  if (!decoded.ok()) return FieldError(prompt.names.prompt, std::string(decoded.status().message()));
  prompt.echo = *std::move(decoded);
  return absl::OkStatus();
}

absl::Status SetInput(ReadPrompt&& read, const Deployment& deployment, bool echo, ApiPrompt& prompt) {
  prompt.names.prompt = read.path;
  if (auto* const text = std::get_if<std::string>(&read.input)) {
    if (echo) prompt.echo = *text;
    prompt.request.set_text(std::move(*text));
    return absl::OkStatus();
  }
  const auto& ids = std::get<std::vector<int32_t>>(read.input);
  prompt.request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  return echo ? DecodeEcho(ids, deployment, prompt) : absl::OkStatus();
}

// One request for each prompt, all of them like `like`.
absl::Status ReadText(const Json& body, const Deployment& deployment, const ApiPrompt& like,
                      const HttpConfig& http, ApiRequest& request) {
  const Json* const value = ValueOf(body, "prompt");
  if (value == nullptr) return FieldError("prompt", "expected a prompt, found none");
  const size_t most = static_cast<size_t>(http.choices);
  if (value->is_array() && !value->empty() && !value->front().is_number() && value->size() > most) {
    return FieldError("prompt",
                      StrCat("expected at most ", most, " prompts (http.choices), found ", value->size()));
  }
  GH_ASSIGN_OR_RETURN(std::vector<ReadPrompt> prompts, ReadPrompts(*value));
  for (ReadPrompt& read : prompts) {
    request.prompts.push_back(like);
    GH_RETURN_IF_ERROR(SetInput(std::move(read), deployment, request.echo, request.prompts.back()));
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const Json& body, const Deployment& deployment, const HttpConfig& http,
                       ApiRequest& request, std::string& task) {
  if (const Json* const model = ValueOf(body, "model")) {
    GH_ASSIGN_OR_RETURN(request.model, StringOf(*model, "model"));
  }
  GH_ASSIGN_OR_RETURN(task, TaskOfModel(http, deployment, request.model));
  if (request.model.empty()) request.model = BaseModelName(http, deployment);
  return absl::OkStatus();
}

absl::Status ReadNumbers(const Json& body, const HttpConfig& http, ApiRequest& request) {
  if (const Json* const n = ValueOf(body, "n")) {
    GH_ASSIGN_OR_RETURN(request.n, IntOf(*n, "n"));
    if (request.n < 1 || request.n > http.choices) {
      return FieldError("n", StrCat("expected 1 to ", http.choices, " (http.choices), found ", request.n));
    }
  }
  GH_RETURN_IF_ERROR(ReadFlag(body, "include_metrics", "include_metrics", request.metrics));
  if (const Json* const seed = ValueOf(body, "seed")) {
    GH_ASSIGN_OR_RETURN(request.seed, SeedOf(*seed));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ApiRequest> ReadApiRequest(ApiKind kind, const Json& body, const Deployment& deployment,
                                          const HttpConfig& http) {
  ApiRequest request;
  request.kind = kind;
  ApiPrompt prompt;
  prompt.names.kind = kind;
  v1::GenerateRequest& proto = prompt.request;
  GH_RETURN_IF_ERROR(SortFields(kind, body, request.ignored));
  GH_RETURN_IF_ERROR(ReadModel(body, deployment, http, request, *proto.mutable_task()));
  GH_RETURN_IF_ERROR(ReadNumbers(body, http, request));
  GH_RETURN_IF_ERROR(ReadStreaming(body, request));
  GH_RETURN_IF_ERROR(ReadLogprobs(body, request, *proto.mutable_logprobs()));
  GH_RETURN_IF_ERROR(ReadSampling(kind, body, *proto.mutable_sampling()));
  if (const Json* const salt = ValueOf(body, "cache_salt")) {
    GH_ASSIGN_OR_RETURN(*proto.mutable_cache_salt(), StringOf(*salt, "cache_salt"));
  }
  if (kind == ApiKind::kChat) {
    if (ValueOf(body, "max_completion_tokens") != nullptr) prompt.names.max_tokens = "max_completion_tokens";
    GH_RETURN_IF_ERROR(ReadChat(body, prompt));
    request.prompts.push_back(std::move(prompt));
  } else {
    GH_RETURN_IF_ERROR(ReadText(body, deployment, prompt, http, request));
  }
  if (request.choices() > static_cast<size_t>(http.choices)) {
    return FieldError("n", StrCat("expected at most ", http.choices, " answers (http.choices), found ",
                                  request.prompts.size(), " prompts times ", request.n));
  }
  return request;
}

}  // namespace guildhall
