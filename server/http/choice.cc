#include "server/http/choice.h"

#include <utility>

namespace guildhall {

Choice::Choice(const ApiRequest& request, size_t index) : request_(&request), index_(index) {
  text_ = prompt().echo;
}

v1::GenerateRequest Choice::Request() const {
  v1::GenerateRequest proto = prompt().request;
  if (request_->seed) {
    proto.mutable_sampling()->set_seed(*request_->seed + index_ % static_cast<size_t>(request_->n));
  }
  return proto;
}

std::vector<v1::Logprob> Choice::LogprobsOf(const v1::GenerateResponse& message) const {
  if (!request_->logprobs) return {};
  const auto& from = message.has_prompt() ? message.prompt().logprobs() : message.chunk().logprobs();
  return {from.begin(), from.end()};
}

void Choice::Take(const v1::GenerateResponse& message) {
  if (message.has_start()) prompt_tokens_ = message.start().prompt_tokens();
  if (message.has_prompt() || message.has_chunk() || message.has_end()) begun_ = true;
  output_tokens_ += message.chunk().token_ids_size();
  if (message.has_end()) {
    ended_ = true;
    end_ = message.end();
    prompt_tokens_ = end_.usage().prompt_tokens();
    output_tokens_ = end_.usage().output_tokens();
  }
  if (request_->stream) return;
  text_ += message.chunk().text();
  for (v1::Logprob& token : LogprobsOf(message)) logprobs_.push_back(std::move(token));
}

bool Choice::Says(const v1::GenerateResponse& message) const {
  if (message.has_start()) return request_->kind == ApiKind::kChat || !prompt().echo.empty();
  if (message.has_prompt()) return request_->logprobs;
  return message.has_end() || !message.chunk().text().empty() ||
         (request_->logprobs && message.chunk().logprobs_size() > 0);
}

Json Choice::Empty() const {
  Json json = Json::object();
  json["index"] = index_;
  return json;
}

Json Choice::Piece(const v1::GenerateResponse& message) {
  Json json = Empty();
  const std::string& text = message.has_start() ? prompt().echo : message.chunk().text();
  if (request_->kind == ApiKind::kCompletions) {
    json["text"] = text;
  } else if (message.has_start()) {
    json["delta"] = Json{{"role", "assistant"}, {"content", ""}};
  } else {
    json["delta"] = message.has_end() ? Json::object() : Json{{"content", text}};
  }
  const std::vector<v1::Logprob> tokens = LogprobsOf(message);
  json["logprobs"] = tokens.empty() ? Json(nullptr) : LogprobsJson(request_->kind, tokens, offset_);
  json["finish_reason"] = message.has_end() ? FinishReasonJson(message.end()) : Json(nullptr);
  if (message.has_end()) json["stop_reason"] = StopReasonJson(message.end());
  return json;
}

Json Choice::Whole() {
  Json json = Empty();
  if (request_->kind == ApiKind::kCompletions) {
    json["text"] = text_;
  } else {
    json["message"] = Json{{"role", "assistant"}, {"content", text_}, {"refusal", nullptr}};
  }
  json["logprobs"] = request_->logprobs ? LogprobsJson(request_->kind, logprobs_, offset_) : Json(nullptr);
  json["finish_reason"] = FinishReasonJson(end_);
  json["stop_reason"] = StopReasonJson(end_);
  return json;
}

UsageSum Choice::Usage() const {
  UsageSum usage;
  usage.output = output_tokens_;
  if (!first_of_prompt()) return usage;
  usage.prompt = prompt_tokens_;
  usage.cached = end_.usage().cached_tokens();
  return usage;
}

}  // namespace guildhall
