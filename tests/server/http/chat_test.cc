// /v1/chat/completions: messages in, a message or its pieces out.
#include <catch2/catch.hpp>

#include "tests/server/http/http_fixture.h"

namespace guildhall {
namespace {

constexpr char kPath[] = "/v1/chat/completions";

Json User(const std::string& content) {
  return {{"role", "user"}, {"content", content}};
}

// The model says `text` whatever it is asked.
ScriptedModel::Options Always(const std::string& text) {
  ScriptedModel::Options options;
  options.fallback = Encode(text);
  return options;
}

Json Chat(TestServer& server, const Json& body) {
  const http1::Answer answer = Post(server, kPath, body);
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  return Parsed(answer.body);
}

}  // namespace

TEST_CASE("a chat is answered by a message of the assistant") {
  TestServer server(Always("yes "), HttpTestConfig());
  const Json answer = Chat(server, {{"model", "plain"}, {"messages", {User("Hi")}}, {"max_tokens", 3}});
  CHECK(answer["object"] == "chat.completion");
  CHECK(answer["id"].get<std::string>().starts_with("chatcmpl-"));
  CHECK(answer["model"] == "plain");
  const Json& choice = answer["choices"][0];
  CHECK(choice["message"]["role"] == "assistant");
  CHECK(choice["message"]["content"].is_string());
  CHECK(choice["finish_reason"] == "length");
  CHECK(answer["usage"]["completion_tokens"] == 3);
}

TEST_CASE("the stream of a chat is this, byte for byte") {
  ScriptedModel::Options model;
  model.fallback = {100};
  TestServer server(model, HttpTestConfig());
  const http1::Answer answer = http1::Ask(
      HttpTarget(server), "POST", kPath,
      R"({"model":"plain","messages":[{"role":"user","content":"Hi"}],"stream":true,"max_tokens":1})",
      "x-request-id: r1\r\n");
  bool done = false;
  const std::vector<Json> events = Events(answer.body, done);
  REQUIRE(events.size() == 3);
  const std::string created = DumpJson(events[0]["created"]);
  const std::string text = DumpJson(events[1]["choices"][0]["delta"]["content"]);
  const auto event = [&](const std::string& delta, const std::string& end) {
    return R"(data: {"id":"chatcmpl-r1","object":"chat.completion.chunk","created":)" + created +
           R"(,"model":"plain","choices":[{"index":0,"delta":)" + delta +
           R"(,"logprobs":null,"finish_reason":)" + end + "}]}\n\n";
  };
  CHECK(answer.body == event(R"({"role":"assistant","content":""})", "null") +
                           event(R"({"content":)" + text + "}", "null") +
                           event("{}", R"("length","stop_reason":null)") + "data: [DONE]\n\n");
}

TEST_CASE("a chat that says nothing of its length ends where the context does") {
  ScriptedModel::Options model;
  model.max_positions = 128;
  TestServer server(model, HttpTestConfig());
  const Json answer = Chat(server, {{"messages", {User("Hi")}}});
  CHECK(answer["usage"]["total_tokens"] == 128);
  CHECK(answer["choices"][0]["finish_reason"] == "length");
}

TEST_CASE("max_completion_tokens wins over max_tokens") {
  TestServer server({}, HttpTestConfig());
  const Json answer =
      Chat(server, {{"messages", {User("Hi")}}, {"max_tokens", 9}, {"max_completion_tokens", 2}});
  CHECK(answer["usage"]["completion_tokens"] == 2);
}

TEST_CASE("log-probabilities of a chat name each token with its bytes") {
  TestServer server({}, HttpTestConfig());
  const Json answer =
      Chat(server, {{"messages", {User("Hi")}}, {"max_tokens", 2}, {"logprobs", true}, {"top_logprobs", 2}});
  const Json& content = answer["choices"][0]["logprobs"]["content"];
  REQUIRE(content.size() == 2);
  CHECK(content[0]["logprob"].is_number());
  CHECK(content[0]["bytes"].is_array());
  REQUIRE(content[0]["top_logprobs"].size() == 2);
  CHECK(content[0]["top_logprobs"][0]["logprob"] == content[0]["logprob"]);
}

TEST_CASE("a message may have parts, null content, tool calls and their results") {
  TestServer server({}, HttpTestConfig());
  const Json call = {
      {"id", "c1"}, {"type", "function"}, {"function", {{"name", "add"}, {"arguments", R"({"a": 1})"}}}};
  const Json messages = {
      {{"role", "user"},
       {"content", {{{"type", "text"}, {"text", "one"}}, {{"type", "text"}, {"text", "two"}}}}},
      {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call}}, {"refusal", nullptr}},
      {{"role", "user"}, {"content", "and?"}}};
  CHECK(Chat(server, {{"messages", messages}, {"max_tokens", 1}})["choices"].size() == 1);
}

TEST_CASE("a comment comes while a stream has nothing to say") {
  ServerConfig config = HttpTestConfig();
  config.http.comment_interval_s = 0.05;
  TestServer server({}, config);
  server.model().Hold();
  const auto client = http1::Client::Connect(HttpTarget(server));
  REQUIRE(client->Send(http1::RequestText(
      "POST", kPath, R"({"messages":[{"role":"user","content":"Hi"}],"stream":true,"max_tokens":2})")));
  CHECK(client->AwaitText(": ping\n\n"));
  server.model().Release();
  const http1::Answer answer = client->Receive();
  CHECK(answer.complete);
  bool done = false;
  CHECK(Events(answer.body, done).size() >= 3);
  CHECK(done);
}

TEST_CASE("a client that leaves frees what its answers hold") {
  TestServer server(EndlessModel(), HttpTestConfig());
  for (const bool stream : {true, false}) {
    auto client = http1::Client::Connect(HttpTarget(server));
    const Json body = {{"messages", {User("Hi")}}, {"stream", stream}, {"max_tokens", kEndless}, {"n", 3}};
    REQUIRE(client->Send(http1::RequestText("POST", kPath, DumpJson(body))));
    server.WaitFor([](const v1::GetStatusResponse& status) { return status.engine().running() == 3; });
    client.reset();
    server.WaitUntilIdle();
  }
  CHECK(server.Counts("http").reset_calls() == 2);
}

TEST_CASE("a reader that takes nothing pauses its sequence, and is cut off") {
  ServerConfig config = HttpTestConfig();
  config.engine.stall_limit_s = 0.5;
  TestServer server(EndlessModel(), config);
  const auto client = http1::Client::Connect(HttpTarget(server));
  const Json body = {{"messages", {User("Hi")}}, {"stream", true}, {"max_tokens", kEndless}};
  REQUIRE(client->Send(http1::RequestText("POST", kPath, DumpJson(body))));
  server.WaitFor([](const v1::GetStatusResponse& status) { return status.engine().running() == 1; });
  server.WaitUntilIdle();
  CHECK(client->AwaitClose(std::chrono::seconds(10)));
}

}  // namespace guildhall
