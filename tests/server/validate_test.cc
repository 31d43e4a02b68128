// The border refuses what is out of range, field by field, before anything is allocated for it.
#include "server/validate.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <limits>

#include "server/error_details.h"
#include "server/grpc/status_mapping.h"
#include "tests/server/fixture.h"

namespace guildhall {
namespace {

constexpr int64_t kContext = 1000;

ServedLimits TestLimits() {
  LimitsConfig config;
  config.max_tokens = 500;
  return MakeServedLimits(config, /*vocabulary=*/2048, kContext, /*kv_cache_tokens=*/100'000);
}

absl::StatusOr<ValidatedRequest> Validate(const v1::GenerateRequest& request,
                                          const PartialSampling& defaults = {}) {
  auto task = std::make_shared<Task>();
  task->defaults = defaults;
  return ValidateGenerate(request, task, TestLimits(), /*random_seed=*/77);
}

std::string FieldOf(const v1::GenerateRequest& request) {
  const auto validated = Validate(request);
  if (validated.ok()) return "";
  CHECK(validated.status().code() == absl::StatusCode::kInvalidArgument);
  return BadField(ToGrpcStatus(validated.status()));
}

using Set64 = std::function<void(v1::GenerateRequest&, int64_t)>;

void CheckInteger(const std::string& field, int64_t min, int64_t cap, const Set64& set) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
  for (const int64_t value :
       {kMin, int64_t{-1}, int64_t{0}, int64_t{1}, cap, cap + 1, int64_t{1} << 31, int64_t{1} << 32, kMax}) {
    INFO(field << " = " << value);
    v1::GenerateRequest request = IdRequest(5, 10);
    set(request, value);
    CHECK(FieldOf(request) == (value >= min && value <= cap ? "" : field));
  }
}

using SetFloat = std::function<void(v1::GenerateRequest&, float)>;

void CheckFloat(const std::string& field, float low, bool low_allowed, float high, const SetFloat& set) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float max = std::numeric_limits<float>::max();
  for (const float value :
       {low, high, std::nextafter(low, high), std::nextafter(high, low), std::nextafter(low, -inf),
        std::nextafter(high, inf), -inf, inf, nan, max, -max, 2147483648.0f, 4294967296.0f}) {
    INFO(field << " = " << value);
    v1::GenerateRequest request = IdRequest(5, 10);
    set(request, value);
    const bool fine = value <= high && (low_allowed ? value >= low : value > low);
    CHECK(FieldOf(request) == (fine ? "" : field));
  }
}

}  // namespace

TEST_CASE("every whole number of a request at its edges") {
  CheckInteger("sampling.max_tokens", 0, 500,
               [](auto& r, int64_t v) { r.mutable_sampling()->set_max_tokens(v); });
  CheckInteger("sampling.min_tokens", 0, 10,
               [](auto& r, int64_t v) { r.mutable_sampling()->set_min_tokens(v); });
  CheckInteger("logprobs.top", 0, 20, [](auto& r, int64_t v) { r.mutable_logprobs()->set_top(v); });
  CheckInteger("sampling.top_k", -1, 2147483647,
               [](auto& r, int64_t v) { r.mutable_sampling()->set_top_k(v); });
  CheckInteger("sampling.no_repeat_ngram_size", 0, 1024,
               [](auto& r, int64_t v) { r.mutable_sampling()->set_no_repeat_ngram_size(v); });
  CheckInteger("speculation.max_draft_tokens", 0, 32,
               [](auto& r, int64_t v) { r.mutable_speculation()->set_max_draft_tokens(v); });
  CheckInteger("speculation.min_ngram", 1, 6,
               [](auto& r, int64_t v) { r.mutable_speculation()->set_min_ngram(v); });
  CheckInteger("speculation.max_ngram", 2, 64,
               [](auto& r, int64_t v) { r.mutable_speculation()->set_max_ngram(v); });
  CheckInteger("time_limit", 1, 3600, [](auto& r, int64_t v) { r.mutable_time_limit()->set_seconds(v); });
  constexpr int32_t kMin = std::numeric_limits<int32_t>::min(), kMax = std::numeric_limits<int32_t>::max();
  for (const int32_t value : {kMin, -1, 0, 1, 2047, 2048, kMax}) {
    INFO(value);
    const bool fine = value >= 0 && value < 2048;
    v1::GenerateRequest request = IdRequest(value, 10);
    CHECK(FieldOf(request) == (fine ? "" : "token_ids.ids[0]"));
    request = IdRequest(5, 10);
    request.mutable_sampling()->add_stop_token_ids(value);
    CHECK(FieldOf(request) == (fine ? "" : "sampling.stop_token_ids[0]"));
    request = IdRequest(5, 10);
    request.mutable_sampling()->add_suppress_tokens(value);
    CHECK(FieldOf(request) == (fine ? "" : "sampling.suppress_tokens[0]"));
    request = IdRequest(5, 10);
    request.mutable_sampling()->add_begin_suppress_tokens(value);
    CHECK(FieldOf(request) == (fine ? "" : "sampling.begin_suppress_tokens[0]"));
    request = IdRequest(5, 10);
    request.mutable_sampling()->add_bad_words_ids()->add_ids(value);
    CHECK(FieldOf(request) == (fine ? "" : "sampling.bad_words_ids[0].ids[0]"));
    request = IdRequest(5, 10);
    (*request.mutable_sampling()->mutable_logit_bias())[value] = 1.0f;
    CHECK(FieldOf(request) == (fine ? "" : "sampling.logit_bias[" + std::to_string(value) + "]"));
  }
  for (const uint64_t seed : {uint64_t{0}, std::numeric_limits<uint64_t>::max()}) {
    v1::GenerateRequest request = IdRequest(5, 10);
    request.mutable_sampling()->set_seed(seed);
    CHECK(Validate(request)->sampling.seed == seed);
  }
  CHECK(Validate(IdRequest(5, 10))->sampling.seed == 77);
}

TEST_CASE("every fractional number of a request at its edges") {
  CheckFloat("sampling.temperature", 0, true, 100,
             [](auto& r, float v) { r.mutable_sampling()->set_temperature(v); });
  CheckFloat("sampling.top_p", 0, true, 1, [](auto& r, float v) { r.mutable_sampling()->set_top_p(v); });
  CheckFloat("sampling.min_p", 0, true, 0.999f, [](auto& r, float v) { r.mutable_sampling()->set_min_p(v); });
  CheckFloat("sampling.repetition_penalty", 1e-6f, true, 100,
             [](auto& r, float v) { r.mutable_sampling()->set_repetition_penalty(v); });
  CheckFloat("sampling.presence_penalty", -2, true, 2,
             [](auto& r, float v) { r.mutable_sampling()->set_presence_penalty(v); });
  CheckFloat("sampling.frequency_penalty", -2, true, 2,
             [](auto& r, float v) { r.mutable_sampling()->set_frequency_penalty(v); });
  CheckFloat("sampling.logit_bias[3]", -100, true, 100,
             [](auto& r, float v) { (*r.mutable_sampling()->mutable_logit_bias())[3] = v; });
}

TEST_CASE("lists have a longest length") {
  const LimitsConfig caps = TestLimits().config;
  const auto with = [](int64_t count, const std::function<void(v1::SamplingOptions&, int)>& add) {
    v1::GenerateRequest request = IdRequest(5, 10);
    for (int i = 0; i < count; ++i) add(*request.mutable_sampling(), i);
    return FieldOf(request);
  };
  const auto stop = [](v1::SamplingOptions& s, int i) { s.add_stop("s" + std::to_string(i)); };
  CHECK(with(caps.stop_strings, stop).empty());
  CHECK(with(caps.stop_strings + 1, stop) == "sampling.stop");
  const auto id = [](v1::SamplingOptions& s, int i) { s.add_stop_token_ids(i); };
  CHECK(with(caps.stop_token_ids, id).empty());
  CHECK(with(caps.stop_token_ids + 1, id) == "sampling.stop_token_ids");
  const auto bias = [](v1::SamplingOptions& s, int i) { (*s.mutable_logit_bias())[i] = 1; };
  CHECK(with(caps.logit_bias, bias).empty());
  CHECK(with(caps.logit_bias + 1, bias) == "sampling.logit_bias");
  const auto never = [](v1::SamplingOptions& s, int i) { s.add_suppress_tokens(i); };
  CHECK(with(caps.logit_bias, never).empty());
  CHECK(with(caps.logit_bias + 1, never) == "sampling.suppress_tokens");
  const auto first = [](v1::SamplingOptions& s, int i) { s.add_begin_suppress_tokens(i); };
  CHECK(with(caps.logit_bias + 1, first) == "sampling.begin_suppress_tokens");
  const auto word = [](v1::SamplingOptions& s, int i) { s.add_bad_words_ids()->add_ids(i); };
  CHECK(with(caps.logit_bias, word).empty());
  CHECK(with(caps.logit_bias + 1, word) ==
        "sampling.bad_words_ids[" + std::to_string(caps.logit_bias) + "].ids");
  CHECK(with(1, [](v1::SamplingOptions& s, int) { s.add_bad_words_ids(); }) ==
        "sampling.bad_words_ids[0].ids");
  CHECK(with(1, [](v1::SamplingOptions& s, int) { s.add_stop(""); }) == "sampling.stop[0]");
  CHECK(with(1, [](v1::SamplingOptions& s, int) { s.add_stop(std::string(256, 'x')); }).empty());
  CHECK(with(1, [](v1::SamplingOptions& s, int) { s.add_stop(std::string(257, 'x')); }) ==
        "sampling.stop[0]");
}

TEST_CASE("a prompt is one of text, chat and token ids, and not empty") {
  v1::GenerateRequest request;
  CHECK(FieldOf(request) == "input");
  request.set_text("");
  CHECK(FieldOf(request) == "text");
  request.mutable_token_ids();
  CHECK(FieldOf(request) == "token_ids.ids");
  request.mutable_chat();
  CHECK(FieldOf(request) == "chat.messages");
  v1::ChatMessage& message = *request.mutable_chat()->add_messages();
  CHECK(FieldOf(request) == "chat.messages[0].role");
  message.set_role("user");
  CHECK(FieldOf(request).empty());
  v1::ToolCall& call = *message.add_tool_calls();
  CHECK(FieldOf(request) == "chat.messages[0].tool_calls[0].name");
  call.set_name("f");
  call.set_arguments_json("[1]");
  CHECK(FieldOf(request) == "chat.messages[0].tool_calls[0].arguments_json");
  call.set_arguments_json(R"({"a": 1})");
  CHECK(FieldOf(request).empty());
  for (const char* bad : {"", "{}", "[", "[1", "[\"\\ud800\"]"}) {
    request.mutable_chat()->set_tools_json(bad);
    CHECK(FieldOf(request) == "chat.tools_json");
  }
  request.mutable_chat()->set_tools_json(std::string(100'000, '['));
  CHECK(FieldOf(request) == "chat.tools_json");
  request.mutable_chat()->set_tools_json("[]");
  request.mutable_chat()->set_template_variables_json(R"({"messages": []})");
  CHECK(FieldOf(request) == "chat.template_variables_json");
  request.mutable_chat()->set_template_variables_json(R"({"enable_thinking": false})");
  CHECK(FieldOf(request).empty());
  while (request.chat().messages_size() <= TestLimits().config.chat_messages) {
    *request.mutable_chat()->add_messages() = request.chat().messages(0);
  }
  CHECK(FieldOf(request) == "chat.messages");
}

TEST_CASE("what a request leaves open comes from the task, below it the engine's own values") {
  PartialSampling defaults;
  defaults.temperature = 0.5;
  defaults.max_tokens = 100'000;  // more than this server allows: lowered, since no client asked for it
  defaults.stop = {"END"};
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(5);
  auto open = Validate(request, defaults);
  REQUIRE(open.ok());
  CHECK(open->sampling.temperature == 0.5f);
  CHECK(open->sampling.max_tokens == 500);
  CHECK_FALSE(open->max_tokens_given);
  CHECK(open->stop == std::vector<std::string>{"END"});
  CHECK(open->sampling.top_p == SamplingParams().top_p);
  // Zero is a value, not an absence.
  request.mutable_sampling()->set_temperature(0);
  request.mutable_sampling()->set_max_tokens(0);
  request.mutable_sampling()->add_stop("X");
  auto set = Validate(request, defaults);
  REQUIRE(set.ok());
  CHECK(set->sampling.temperature == 0.0f);
  CHECK(set->sampling.max_tokens == 0);
  CHECK(set->max_tokens_given);
  CHECK(set->stop == std::vector<std::string>{"X"});
}

TEST_CASE(
    "speculation comes from the request, below it the task, and a default gives way to the server's limit") {
  auto task = std::make_shared<Task>();
  task->speculation = {.max_draft_tokens = 40, .min_ngram = 3, .max_ngram = 5};
  v1::GenerateRequest request = IdRequest(5, 10);
  auto open = ValidateGenerate(request, task, TestLimits(), 1);
  REQUIRE(open.ok());
  CHECK(open->speculation == Speculation{.max_draft_tokens = 32, .min_ngram = 3, .max_ngram = 5});
  request.mutable_speculation()->set_max_draft_tokens(0);
  request.mutable_speculation()->set_min_ngram(1);
  auto set = ValidateGenerate(request, task, TestLimits(), 1);
  REQUIRE(set.ok());
  CHECK(set->speculation == Speculation{.max_draft_tokens = 0, .min_ngram = 1, .max_ngram = 5});
}

TEST_CASE("defaults merge per value: the task over generation_config.json over the server") {
  PartialSampling task, file, server;
  task.top_k = 1;
  file.top_k = 2;
  file.top_p = 0.2;
  server.top_p = 0.3;
  server.min_p = 0.4;
  const PartialSampling merged = Merge(task, Merge(file, server));
  CHECK(merged.top_k == 1);
  CHECK(merged.top_p == 0.2);
  CHECK(merged.min_p == 0.4);
  CHECK_FALSE(merged.temperature.has_value());
}

TEST_CASE("the context that is served is what the model and the KV cache both have") {
  CHECK(MakeServedLimits({}, 10, 1000, 160).context_tokens == 160);
  CHECK(MakeServedLimits({}, 10, 1000, 16'000).max_prompt_tokens == 1000);
  CHECK(TestLimits().max_output_tokens == 500);
}

}  // namespace guildhall
