// The same request over HTTP and over gRPC is the same answer, to the bit.
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/server/http/http_fixture.h"

namespace guildhall {
namespace {

v1::GenerateRequest Sampled(const std::string& task) {
  v1::GenerateRequest request;
  request.set_task(task);
  v1::SamplingOptions& sampling = *request.mutable_sampling();
  sampling.set_temperature(0.7f);
  sampling.set_top_p(0.95f);
  sampling.set_top_k(50);
  sampling.set_frequency_penalty(0.3f);
  sampling.set_seed(18446744073709551557u);
  sampling.set_max_tokens(24);
  (*sampling.mutable_logit_bias())[7] = 9.5f;
  request.mutable_logprobs()->set_chosen(true);
  request.mutable_logprobs()->set_top(3);
  return request;
}

Json SampledBody(const std::string& task) {
  Json body = {
      {"model", task}, {"temperature", 0.7}, {"top_p", 0.95}, {"top_k", 50}, {"frequency_penalty", 0.3}};
  body["seed"] = 18446744073709551557u;
  body["max_tokens"] = 24;
  body["logit_bias"] = Json{{"7", 9.5}};
  return body;
}

bool SameBits(float left, const Json& right) {
  const float value = right.get<float>();
  return std::memcmp(&left, &value, sizeof(left)) == 0;
}

void CheckTokens(const std::vector<v1::Logprob>& expected, const Json& tokens) {
  REQUIRE(tokens.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    INFO(i);
    CHECK(SameBits(expected[i].logprob(), tokens[i]["logprob"]));
    std::string bytes;
    for (const Json& byte : tokens[i]["bytes"]) bytes += static_cast<char>(byte.get<int>());
    CHECK(bytes == expected[i].text());
    REQUIRE(tokens[i]["top_logprobs"].size() == 3);
    for (int k = 0; k < 3; ++k) {
      CHECK(SameBits(expected[i].top(k).logprob(),
                     tokens[i]["top_logprobs"][static_cast<size_t>(k)]["logprob"]));
    }
  }
}

}  // namespace

TEST_CASE("a chat over HTTP has the text and log-probabilities of gRPC, streamed or not") {
  TestServer server({}, HttpTestConfig());
  v1::GenerateRequest request = Sampled("tell");
  v1::ChatMessage& message = *request.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content("Gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80");
  const Answer expected = Ask(*server.Inference(), request);
  REQUIRE(expected.status.ok());
  REQUIRE(expected.tokens.size() == 24);

  Json body = SampledBody("tell");
  body["messages"].push_back(Json{{"role", "user"}, {"content", message.content()}});
  body["logprobs"] = true;
  body["top_logprobs"] = 3;
  const Json whole = Parsed(Post(server, "/v1/chat/completions", body).body);
  CHECK(whole["choices"][0]["message"]["content"] == expected.text);
  CheckTokens(expected.logprobs, whole["choices"][0]["logprobs"]["content"]);
  CHECK(whole["usage"]["prompt_tokens"] == expected.end.usage().prompt_tokens());

  body["stream"] = true;
  bool done = false;
  std::string text;
  Json tokens = Json::array();
  for (const Json& event : Events(Post(server, "/v1/chat/completions", body).body, done)) {
    const Json& choice = event["choices"][0];
    if (choice["delta"].contains("content")) text += choice["delta"]["content"].get<std::string>();
    if (choice["logprobs"].is_null()) continue;
    for (const Json& token : choice["logprobs"]["content"]) tokens.push_back(token);
  }
  CHECK(done);
  CHECK(text == expected.text);
  CheckTokens(expected.logprobs, tokens);
}

TEST_CASE("a completion over HTTP has the log-probabilities of gRPC, those of the prompt too") {
  TestServer server({}, HttpTestConfig());
  v1::GenerateRequest request = Sampled("plain");
  for (const int32_t id : {50, 51, 52, 53}) request.mutable_token_ids()->add_ids(id);
  request.mutable_logprobs()->set_prompt(true);
  const Answer expected = Ask(*server.Inference(), request);
  REQUIRE(expected.status.ok());

  Json body = SampledBody("plain");
  body["prompt"] = std::vector<int>{50, 51, 52, 53};
  body["logprobs"] = 3;
  body["echo"] = true;
  for (const bool stream : {false, true}) {
    body["stream"] = stream;
    const std::string answer = Post(server, "/v1/completions", body).body;
    bool done = false;
    std::vector<Json> logprobs;
    for (const Json& event : stream ? Events(answer, done) : std::vector<Json>{Parsed(answer)}) {
      const Json& of_event = event["choices"][0]["logprobs"];
      if (of_event.is_null()) continue;
      for (const Json& value : of_event["token_logprobs"]) logprobs.push_back(value);
    }
    REQUIRE(logprobs.size() == 4 + expected.logprobs.size());
    CHECK(logprobs[0].is_null());
    for (size_t i = 1; i < logprobs.size(); ++i) {
      const float value = i < 4 ? expected.prompt[i].logprob() : expected.logprobs[i - 4].logprob();
      CHECK(SameBits(value, logprobs[i]));
    }
  }
}

TEST_CASE("answer i of a prompt is that of the seed plus i") {
  TestServer server({}, HttpTestConfig());
  Json body = {{"model", "base"},  {"prompt", {50}}, {"temperature", 1},
               {"max_tokens", 12}, {"seed", 40},     {"n", 3}};
  const Json together = Parsed(Post(server, "/v1/completions", body).body);
  body["n"] = 1;
  for (int i = 0; i < 3; ++i) {
    body["seed"] = 40 + i;
    const Json alone = Parsed(Post(server, "/v1/completions", body).body);
    CHECK(alone["choices"][0]["text"] == together["choices"][static_cast<size_t>(i)]["text"]);
  }
}

}  // namespace guildhall
