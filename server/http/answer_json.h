// The pieces of answers in OpenAI's form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "guildhall/v1/inference.pb.h"
#include "server/http/request_fields.h"

namespace guildhall {

// What all objects of an answer say.
struct AnswerNames {
  ApiKind kind = ApiKind::kChat;
  std::string id;
  std::string model;
  int64_t created = 0;  // Unix seconds
};

// With "choices" empty; `chunk`: of a stream.
Json AnswerObject(const AnswerNames& names, bool chunk);

// Of tokens in order. `offset` is where the first of them begins in the text, in characters, and then where
// the next one will.
Json LogprobsJson(ApiKind kind, const std::vector<v1::Logprob>& tokens, int64_t& offset);

// Summed over an answer's choices; each prompt counts once.
struct UsageSum {
  int64_t prompt = 0, cached = 0, output = 0;
};
Json UsageJson(const UsageSum& usage);

// "stop" or "length"; what stopped it; the adapter versions that served it.
Json FinishReasonJson(const v1::GenerateEnd& end);
Json StopReasonJson(const v1::GenerateEnd& end);
Json AdaptersJson(const v1::GenerateEnd& end);
// How long it took, in milliseconds.
Json MetricsJson(const v1::GenerateEnd& end);

// An event of a stream.
std::string EventText(const Json& data);

}  // namespace guildhall
