// Errors: their codes, and the names that the client used.
#include <catch2/catch.hpp>

#include "tests/server/http/http_fixture.h"

namespace guildhall {
namespace {

struct Case {
  std::string_view path, body;
  int status;
  std::string_view param, message;  // a part of it
};

constexpr std::string_view kText = "/v1/completions", kChat = "/v1/chat/completions";

}  // namespace

TEST_CASE("an error names the field as the client wrote it") {
  TestServer server({}, HttpTestConfig());
  const std::string hello = R"("messages":[{"role":"user","content":"Hi"}])";
  const std::vector<Case> cases = {
      {kText, R"({"prompt":"a","top_p":2})", 400, "top_p", "top_p: expected"},
      {kText, R"({"prompt":"a","temperature":"hot"})", 400, "temperature",
       "expected a number, found \"hot\""},
      {kText, R"({"prompt":"a","temperature":1e300})", 400, "temperature", "temperature: expected"},
      {kText, R"({"prompt":"a","max_tokens":-1})", 400, "max_tokens", "max_tokens: expected"},
      {kText, R"({"prompt":"a","max_tokens":1.5})", 400, "max_tokens", "expected an integer"},
      {kText, R"({"prompt":"a","max_tokens":9223372036854775808})", 400, "max_tokens", "expected an integer"},
      {kText, R"({"prompt":"a","max_tokens":99999999})", 400, "max_tokens", ""},
      {kText, R"({"prompt":[1,2,99999]})", 400, "prompt[2]", "prompt[2]: expected"},
      {kText, R"({"prompt":[[1],[2,-3]]})", 400, "prompt[1][1]", "expected a token id"},
      {kText, R"({"prompt":["a",5]})", 400, "prompt[1]", "expected text"},
      {kText, R"({"prompt":["a",""]})", 400, "prompt[1]", "empty"},
      {kText, R"({"prompt":[]})", 400, "prompt", "empty"},
      {kText, R"({"prompt":""})", 400, "prompt", "empty"},
      {kText, R"({})", 400, "prompt", "expected a prompt"},
      {kText, R"({"prompt":"a","logprobs":21})", 400, "logprobs", "logprobs: expected"},
      {kText, R"({"prompt":"a","stop":[""]})", 400, "stop[0]", "stop[0]: expected"},
      {kText, R"({"prompt":"a","logit_bias":{"x":1}})", 400, "logit_bias", "token ids as keys"},
      {kText, R"({"prompt":"a","logit_bias":{"5":101}})", 400, "logit_bias[5]", "logit_bias[5]: expected"},
      {kText, R"({"prompt":"a","stop_token_ids":[1,-1]})", 400, "stop_token_ids[1]", "expected a token id"},
      {kText, R"({"prompt":"a","n":0})", 400, "n", "expected 1 to 128"},
      {kText, R"({"prompt":["a","b"],"n":100})", 400, "n", "2 prompts times 100"},
      {kText, R"({"prompt":"a","seed":1.5})", 400, "seed", "expected an integer"},
      {kText, R"({"prompt":"a","stream_options":{"include_usage":true}})", 400, "stream_options",
       "stream: true"},
      {kText, R"({"prompt":"a","suffix":"z"})", 400, "suffix", "is not served"},
      {kText, R"({"prompt":"a","model":"nobody"})", 404, "model", "\"nobody\" does not exist"},
      {kText, R"({"prompt":"a","model":5})", 400, "model", "expected a string"},
      {kChat, R"({"messages":[]})", 400, "messages", "at least one message"},
      {kChat, R"({"messages":[{"role":"user","content":"a"},{"content":"b"}]})", 400, "messages[1].role", ""},
      {kChat, R"({"messages":[{"role":"user","content":5}]})", 400, "messages[0].content",
       "expected a string"},
      {kChat, R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})", 400,
       "messages[0].content[0].type", "the model reads text only"},
      {kChat,
       R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}]})", 200,
       "", ""},
      {kChat, R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":""}}]}]})", 400,
       "messages[0].tool_calls[0].function.name", ""},
      {kChat, R"({"messages":[{"role":"user","content":"Hi"}],"top_logprobs":3})", 400, "top_logprobs",
       "logprobs: true"},
      {kChat, R"({"messages":[{"role":"user","content":"Hi"}],"logprobs":true,"top_logprobs":21})", 400,
       "top_logprobs", "top_logprobs: expected"},
      {kChat, R"({"messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":99999})", 400,
       "max_completion_tokens", ""},
      {kChat, R"({"messages":[{"role":"user","content":"Hi"}],"chat_template_kwargs":{"messages":1}})", 400,
       "chat_template_kwargs", "has a field of its own"},
      {kChat, R"({"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function"}]})", 400, "tools",
       "is not served"},
      {kChat, R"({"messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}})",
       400, "response_format", "is not served"},
      {kText, R"({"prompt":"a",)", 400, "", "the request's body"},
      {kText, R"(["prompt"])", 400, "", "expected a JSON object"},
      {kText, R"({"prompt":"a","prompt":"b"})", 400, "", "prompt"},
  };
  for (const Case& one : cases) {
    const http1::Answer answer = http1::Ask(HttpTarget(server), "POST", one.path, one.body);
    INFO(one.body << " -> " << answer.body);
    CHECK(answer.status == one.status);
    if (answer.status == 200) continue;
    const Json error = Parsed(answer.body)["error"];
    CHECK((error["param"].is_null() ? "" : error["param"].get<std::string>()) == one.param);
    CHECK(error["message"].get<std::string>().find(one.message) != std::string::npos);
    CHECK(error["type"] == "invalid_request_error");
  }
}

TEST_CASE("a prompt beyond the context is named by the numbers, and nothing is cut off") {
  ScriptedModel::Options model;
  model.max_positions = 64;
  TestServer server(model, HttpTestConfig());
  const http1::Answer answer = Post(server, kText, {{"prompt", std::vector<int>(60, 5)}, {"max_tokens", 16}});
  CHECK(answer.status == 400);
  const Json error = Parsed(answer.body)["error"];
  CHECK(error["code"] == "context_length_exceeded");
  CHECK(error["param"] == "max_tokens");
  CHECK(error["message"].get<std::string>().find("60") != std::string::npos);
}

TEST_CASE("a full queue is 429 with the time after which to come again") {
  ServerConfig config = HttpTestConfig();
  config.engine.max_running = 1;
  config.engine.max_queued = 1;
  TestServer server(EndlessModel(), config);
  std::vector<std::unique_ptr<http1::Client>> clients;
  int refused = 0;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(http1::Client::Connect(HttpTarget(server)));
    const Json body = {{"prompt", {5}}, {"max_tokens", kEndless}, {"stream", true}};
    REQUIRE(clients.back()->Send(http1::RequestText("POST", kText, DumpJson(body))));
    // The last one is refused whichever of those before were.
    if (clients.back()->AwaitText("429", std::chrono::milliseconds(i == 3 ? 10'000 : 300))) {
      const http1::Answer answer = clients.back()->Receive();
      CHECK(answer.status == 429);
      CHECK(answer.Header("retry-after") == "1");
      CHECK(answer.Header("retry-after-ms") == "1000");
      CHECK(Parsed(answer.body)["error"]["code"] == "rate_limit_exceeded");
      ++refused;
    }
  }
  CHECK(refused >= 1);
}

TEST_CASE("an error inside a stream is its last event, and no [DONE] follows") {
  ScriptedModel::Options model;
  model.scripts[50] = {60, 61, 70};
  model.poison = 70;
  TestServer server(model, HttpTestConfig());
  const http1::Answer answer = Post(server, kText, {{"prompt", {50}}, {"max_tokens", 8}, {"stream", true}});
  CHECK(answer.status == 200);
  CHECK(answer.complete);
  bool done = false;
  const std::vector<Json> events = Events(answer.body, done);
  CHECK_FALSE(done);
  REQUIRE_FALSE(events.empty());
  CHECK(events.back()["error"]["type"] == "server_error");
  const http1::Answer whole = Post(server, kText, {{"prompt", {50}}, {"max_tokens", 8}});
  CHECK(whole.status == 500);
}

TEST_CASE("an answer that fails ends those beside it") {
  ScriptedModel::Options model = EndlessModel();
  model.scripts[50] = {60, 61, 70};
  model.poison = 70;
  TestServer server(model, HttpTestConfig());
  const http1::Answer answer = Post(server, kText, {{"prompt", {{5}, {50}, {6}}}, {"max_tokens", kEndless}});
  CHECK(answer.status == 500);
  server.WaitUntilIdle();
}

}  // namespace guildhall
