// /v1/completions: what is asked for and what comes.
#include <catch2/catch.hpp>

#include "tests/server/http/http_fixture.h"

namespace guildhall {
namespace {

constexpr char kPath[] = "/v1/completions";

Json Complete(TestServer& server, const Json& body) {
  const http1::Answer answer = Post(server, kPath, body);
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  CHECK(answer.Header("content-type") == "application/json");
  return Parsed(answer.body);
}

}  // namespace

TEST_CASE("a completion has the text, why it ended, and its usage") {
  TestServer server(Saying(50, "Good day."), HttpTestConfig());
  const Json answer = Complete(server, {{"model", "base"}, {"prompt", {50}}, {"max_tokens", 20}});
  CHECK(answer["object"] == "text_completion");
  CHECK(answer["id"].get<std::string>().starts_with("cmpl-"));
  REQUIRE(answer["choices"].size() == 1);
  const Json& choice = answer["choices"][0];
  CHECK(choice["text"] == "Good day.");
  CHECK(choice["index"] == 0);
  CHECK(choice["finish_reason"] == "stop");
  CHECK(choice["logprobs"].is_null());
  CHECK(answer["usage"]["prompt_tokens"] == 1);
  const int64_t output = static_cast<int64_t>(Encode("Good day.").size()) + 1;
  CHECK(answer["usage"]["completion_tokens"] == output);
  CHECK(answer["usage"]["total_tokens"] == output + 1);
  CHECK(answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0);
}

TEST_CASE("where nobody says how long an answer is it has 16 tokens") {
  TestServer server({}, HttpTestConfig());
  const Json answer = Complete(server, {{"prompt", {5}}});
  CHECK(answer["usage"]["completion_tokens"] == 16);
  CHECK(answer["choices"][0]["finish_reason"] == "length");
  CHECK(Complete(server, {{"prompt", {5}}, {"min_tokens", 20}})["usage"]["completion_tokens"] == 20);
  ServerConfig config = HttpTestConfig();
  config.sampling.max_tokens = 7;
  TestServer configured({}, config);
  CHECK(Complete(configured, {{"prompt", {5}}})["usage"]["completion_tokens"] == 7);
}

TEST_CASE("the four forms of a prompt, and n answers of each") {
  ScriptedModel::Options model;
  model.scripts[50] = Encode("fifty");
  model.scripts[51] = Encode("other");
  TestServer server(model, HttpTestConfig());
  const auto texts = [&](const Json& prompt, int n) {
    const Json answer =
        Complete(server, {{"model", "base"}, {"prompt", prompt}, {"n", n}, {"max_tokens", 1}});
    std::vector<std::string> found;
    for (const Json& choice : answer["choices"]) {
      CHECK(choice["index"] == found.size());
      found.push_back(choice["text"]);
    }
    return found;
  };
  const std::string fifty = texts({50}, 1)[0], other = texts({51}, 1)[0];
  CHECK(fifty != other);
  CHECK(texts({{50}, {51}}, 2) == std::vector<std::string>{fifty, fifty, other, other});
  CHECK(texts("Hello", 1).size() == 1);
  CHECK(texts({"Hello", "there", "again"}, 1).size() == 3);
  CHECK(texts("Hello", 3).size() == 3);
}

TEST_CASE("usage counts a prompt once however many answers it has") {
  TestServer server({}, HttpTestConfig());
  const Json answer = Complete(server, {{"prompt", {{5, 6, 7}, {8, 9}}}, {"n", 2}, {"max_tokens", 3}});
  CHECK(answer["usage"]["prompt_tokens"] == 5);
  CHECK(answer["usage"]["completion_tokens"] == 12);
}

TEST_CASE("a request has only so many answers") {
  ServerConfig config = HttpTestConfig();
  config.http.choices = 3;
  TestServer server({}, config);
  CHECK(Post(server, kPath, {{"prompt", {5}}, {"n", 3}, {"max_tokens", 1}}).status == 200);
  CHECK(Post(server, kPath, {{"prompt", {5}}, {"n", 4}, {"max_tokens", 1}}).status == 400);
  CHECK(Post(server, kPath, {{"prompt", {{5}, {6}, {7}, {8}}}, {"max_tokens", 1}}).status == 400);
}

TEST_CASE("echo with log-probabilities has the prompt's tokens first, the very first without") {
  TestServer server({}, HttpTestConfig());
  const Json answer =
      Complete(server, {{"prompt", {5, 6, 7}}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 1}});
  const Json& logprobs = answer["choices"][0]["logprobs"];
  REQUIRE(logprobs["tokens"].size() == 4);
  REQUIRE(logprobs["token_logprobs"].size() == 4);
  CHECK(logprobs["token_logprobs"][0].is_null());
  CHECK(logprobs["top_logprobs"][0].is_null());
  CHECK(logprobs["token_logprobs"][1].is_number());
  CHECK(logprobs["top_logprobs"][3].is_object());
  CHECK(logprobs["text_offset"][0] == 0);

  const Json scored =
      Complete(server, {{"prompt", {5, 6, 7}}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 0}});
  CHECK(scored["choices"][0]["logprobs"]["tokens"].size() == 3);
  CHECK(scored["choices"][0]["finish_reason"] == "length");
  CHECK(scored["usage"]["completion_tokens"] == 0);
}

TEST_CASE("echo begins with the prompt as it was sent") {
  TestServer server(Saying(50, "Good day."), HttpTestConfig());
  const Json answer =
      Complete(server, {{"model", "plain"}, {"prompt", "Hello"}, {"echo", true}, {"max_tokens", 1}});
  CHECK(answer["choices"][0]["text"].get<std::string>().starts_with("Hello"));
}

TEST_CASE("a stop string ends the text and is named") {
  TestServer server(Saying(50, "one two three"), HttpTestConfig());
  const Json answer = Complete(server, {{"prompt", {50}}, {"max_tokens", 40}, {"stop", " two"}});
  CHECK(answer["choices"][0]["text"] == "one");
  CHECK(answer["choices"][0]["stop_reason"] == " two");
  const Json shown = Complete(
      server,
      {{"prompt", {50}}, {"max_tokens", 40}, {"stop", {" two"}}, {"include_stop_str_in_output", true}});
  CHECK(shown["choices"][0]["text"] == "one two");
}

TEST_CASE("a streamed completion says the same in pieces") {
  TestServer server(Saying(50, "one two three"), HttpTestConfig());
  const http1::Answer answer = Post(server, kPath,
                                    {{"prompt", {50}},
                                     {"max_tokens", 40},
                                     {"stream", true},
                                     {"stream_options", {{"include_usage", true}}}});
  CHECK(answer.status == 200);
  CHECK(answer.Header("content-type") == "text/event-stream; charset=utf-8");
  CHECK(answer.Header("cache-control") == "no-cache");
  CHECK(answer.complete);
  bool done = false;
  const std::vector<Json> events = Events(answer.body, done);
  CHECK(done);
  REQUIRE(events.size() >= 3);
  std::string text;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    CHECK(events[i]["id"] == events[0]["id"]);
    CHECK(events[i]["usage"].is_null());
    text += events[i]["choices"][0]["text"].get<std::string>();
    CHECK(events[i]["choices"][0]["finish_reason"].is_null() == (i + 2 < events.size()));
  }
  CHECK(text == "one two three");
  CHECK(events.back()["choices"].empty());
  CHECK(events.back()["usage"]["prompt_tokens"] == 1);
}

TEST_CASE("what an answer took is told on demand") {
  TestServer server(Saying(50, "one two three"), HttpTestConfig());
  Json body = {{"prompt", {50}}, {"max_tokens", 40}};
  CHECK_FALSE(Complete(server, body).contains("metrics"));
  body["include_metrics"] = true;
  const Json metrics = Complete(server, body)["metrics"];
  for (const char* name : {"queue_time_ms", "time_to_first_token_ms", "generation_time_ms", "mean_itl_ms"}) {
    INFO(name);
    CHECK(metrics[name].get<double>() >= 0);
  }
  CHECK(metrics["tokens_per_second"].get<double>() > 0);
  body["stream"] = true;
  bool done = false;
  CHECK(Events(Post(server, kPath, body).body, done).back().contains("metrics"));
}

TEST_CASE("each event of a stream may bring the usage so far") {
  TestServer server(Saying(50, "one two three"), HttpTestConfig());
  const http1::Answer answer = Post(server, kPath,
                                    {{"prompt", {50}},
                                     {"max_tokens", 40},
                                     {"stream", true},
                                     {"stream_options", {{"continuous_usage_stats", true}}}});
  bool done = false;
  int64_t before = 0;
  for (const Json& event : Events(answer.body, done)) {
    CHECK(event["usage"]["completion_tokens"] >= before);
    before = event["usage"]["completion_tokens"];
  }
  CHECK(before > 1);
}

TEST_CASE("more answers than the engine takes of one request at once all come, each at its place") {
  ServerConfig config = HttpTestConfig();
  TestServer server({}, config);
  const http1::Answer answer =
      Post(server, kPath, {{"prompt", {5, 6}}, {"n", 40}, {"max_tokens", 2}, {"stream", true}});
  bool done = false;
  std::map<int64_t, int> ends;
  for (const Json& event : Events(answer.body, done)) {
    const Json& choice = event["choices"][0];
    if (!choice["finish_reason"].is_null()) ++ends[choice["index"].get<int64_t>()];
  }
  CHECK(done);
  CHECK(ends.size() == 40);
  server.WaitUntilIdle();
}

}  // namespace guildhall
