#include "server/http/answer_json.h"

#include <algorithm>

#include "base/str_cat.h"
#include "server/sampling_messages.h"

namespace guildhall {
namespace {

// Bytes that are no character become U+FFFD.
std::string Clean(const std::string& bytes) {
  const Json clean = Json::parse(DumpJson(Json(bytes)), nullptr, false);
  return clean.is_string() ? clean.get<std::string>() : std::string();
}

int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; });
}

Json BytesJson(const std::string& bytes) {
  Json list = Json::array();
  for (const char byte : bytes) list.push_back(static_cast<unsigned>(static_cast<unsigned char>(byte)));
  return list;
}

template <typename Token>
Json ChatToken(const Token& token) {
  Json json = Json::object();
  json["token"] = Clean(token.text());
  json["logprob"] = Decimal(token.logprob());
  json["bytes"] = BytesJson(token.text());
  return json;
}

Json ChatLogprobs(const std::vector<v1::Logprob>& tokens) {
  Json content = Json::array();
  for (const v1::Logprob& token : tokens) {
    Json json = ChatToken(token);
    json["top_logprobs"] = Json::array();
    for (const v1::TopLogprob& top : token.top()) json["top_logprobs"].push_back(ChatToken(top));
    content.push_back(std::move(json));
  }
  return Json{{"content", content}, {"refusal", nullptr}};
}

// By text; of several tokens with one text the best.
Json TopByText(const v1::Logprob& token) {
  if (!token.has_logprob()) return nullptr;
  Json best = Json::object();
  const auto add = [&](const std::string& text, float logprob) {
    const std::string key = Clean(text);
    const double value = Decimal(logprob);
    if (!best.contains(key) || best[key].get<double>() < value) best[key] = value;
  };
  for (const v1::TopLogprob& top : token.top()) add(top.text(), top.logprob());
  add(token.text(), token.logprob());
  return best;
}

Json TextLogprobs(const std::vector<v1::Logprob>& tokens, int64_t& offset) {
  Json texts = Json::array(), logprobs = Json::array(), tops = Json::array(), offsets = Json::array();
  for (const v1::Logprob& token : tokens) {
    const std::string text = Clean(token.text());
    texts.push_back(text);
    logprobs.push_back(token.has_logprob() ? Json(Decimal(token.logprob())) : Json(nullptr));
    tops.push_back(TopByText(token));
    offsets.push_back(offset);
    offset += Characters(text);
  }
  Json json = Json::object();
  json["tokens"] = std::move(texts);
  json["token_logprobs"] = std::move(logprobs);
  json["top_logprobs"] = std::move(tops);
  json["text_offset"] = std::move(offsets);
  return json;
}

}  // namespace

Json AnswerObject(const AnswerNames& names, bool chunk) {
  Json json = Json::object();
  json["id"] = names.id;
  json["object"] = names.kind == ApiKind::kCompletions ? "text_completion"
                   : chunk                             ? "chat.completion.chunk"
                                                       : "chat.completion";
  json["created"] = names.created;
  json["model"] = names.model;
  json["choices"] = Json::array();
  return json;
}

Json LogprobsJson(ApiKind kind, const std::vector<v1::Logprob>& tokens, int64_t& offset) {
  return kind == ApiKind::kChat ? ChatLogprobs(tokens) : TextLogprobs(tokens, offset);
}

Json UsageJson(const UsageSum& usage) {
  Json json = Json::object();
  json["prompt_tokens"] = usage.prompt;
  json["completion_tokens"] = usage.output;
  json["total_tokens"] = usage.prompt + usage.output;
  json["prompt_tokens_details"] = Json{{"cached_tokens", usage.cached}};
  return json;
}

Json FinishReasonJson(const v1::GenerateEnd& end) {
  return end.finish_reason() == v1::FINISH_REASON_LENGTH ? "length" : "stop";
}

Json StopReasonJson(const v1::GenerateEnd& end) {
  if (end.matched_stop_case() == v1::GenerateEnd::kStopText) return end.stop_text();
  if (end.matched_stop_case() == v1::GenerateEnd::kStopTokenId) return end.stop_token_id();
  return nullptr;
}

Json AdaptersJson(const v1::GenerateEnd& end) {
  Json list = Json::array();
  for (const v1::ServedAdapter& adapter : end.adapters()) {
    list.push_back(Json{{"name", adapter.name()}, {"version", adapter.version()}});
  }
  return list;
}

Json MetricsJson(const v1::GenerateEnd& end) {
  const auto milliseconds = [](const google::protobuf::Duration& duration) {
    return static_cast<double>(duration.seconds()) * 1e3 + static_cast<double>(duration.nanos()) * 1e-6;
  };
  const v1::Timings& took = end.timings();
  const double generation = milliseconds(took.total()) - milliseconds(took.first_token());
  const double seconds = milliseconds(took.total()) * 1e-3;
  Json json = Json::object();
  json["queue_time_ms"] = milliseconds(took.queue());
  json["time_to_first_token_ms"] = milliseconds(took.first_token());
  json["generation_time_ms"] = std::max(generation, 0.0);
  json["mean_itl_ms"] = milliseconds(took.per_token());
  json["tokens_per_second"] = seconds > 0 ? static_cast<double>(end.usage().output_tokens()) / seconds : 0.0;
  return json;
}

std::string EventText(const Json& data) {
  return StrCat("data: ", DumpJson(data), "\n\n");
}

}  // namespace guildhall
