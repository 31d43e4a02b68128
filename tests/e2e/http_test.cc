// The demo model over HTTP and over gRPC: the same request is the same answer, to the bit, while adapters
// are loaded and unloaded beside it.
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/json.h"
#include "tests/e2e/client.h"
#include "tests/e2e/process.h"
#include "tests/support/http1_client.h"

namespace guildhall {
namespace {

struct Question {
  const char *task, *text;
};

constexpr Question kQuestions[] = {
    {"numbers", "forty-two"},
    {"german", "I see a red bird."},
    {"report", "In Tokyo, the public library cancelled a summer festival last Monday."},
    {"measure", "5082 grams in kilograms"},
    {"command", "please phone Rosa, work number"},
    {"sentiment", "The parking of this bakery is awful."},
};

v1::GenerateRequest Drawn(const Question& question) {
  v1::GenerateRequest request = GreedyRequest(question.task, question.text, 24);
  request.mutable_sampling()->set_temperature(0.9f);
  request.mutable_sampling()->set_seed(7);
  request.mutable_sampling()->set_ignore_eos(true);
  return request;
}

Json BodyOf(const Question& question, bool stream) {
  return {{"model", question.task},
          {"prompt", question.text},
          {"max_tokens", 24},
          {"temperature", 0.9},
          {"seed", 7},
          {"ignore_eos", true},
          {"stream", stream},
          {"logprobs", 0}};
}

struct HttpAnswer {
  std::string text;
  std::vector<float> logprobs;
};

void Take(const Json& answer, HttpAnswer& to) {
  const Json& choice = answer["choices"][0];
  to.text += choice["text"].get<std::string>();
  if (choice["logprobs"].is_null()) return;
  for (const Json& logprob : choice["logprobs"]["token_logprobs"])
    to.logprobs.push_back(logprob.get<float>());
}

HttpAnswer AskHttp(const std::string& target, const Question& question, bool stream) {
  const http1::Answer answer =
      http1::Ask(target, "POST", "/v1/completions", DumpJson(BodyOf(question, stream)));
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  HttpAnswer result;
  if (!stream) {
    Take(Json::parse(answer.body), result);
    return result;
  }
  constexpr std::string_view kData = "data: ";
  REQUIRE(answer.body.ends_with("data: [DONE]\n\n"));
  for (size_t at = 0; answer.body.compare(at, kData.size() + 1, "data: {") == 0;) {
    const size_t end = answer.body.find("\n\n", at);
    Take(Json::parse(answer.body.substr(at + kData.size(), end - at - kData.size())), result);
    at = end + 2;
  }
  return result;
}

}  // namespace

TEST_CASE("HTTP answers as gRPC does, to the bit, while adapters come and go", "[cpu]") {
  const ServerProcess server({"http.listen=127.0.0.1:0"});
  const std::string target = server.http_address();
  REQUIRE_FALSE(target.empty());
  std::atomic<int> changes{0};
  std::jthread churn([&](const std::stop_token& stop) {
    const auto admin = AdminOf(server.admin_address());
    for (int i = 0; !stop.stop_requested(); ++i) {
      if (Load(*admin, "beside", i % 2 == 0 ? "lora-sql" : "esft-report", 0).ok()) ++changes;
      Unload(*admin, "beside");
    }
  });
  for (const Question& question : kQuestions) {
    INFO(question.task);
    const Answer expected = Ask(server.address(), Drawn(question));
    CHECK(expected.status.ok());
    CHECK(expected.tokens.size() == 24);
    for (const bool stream : {false, true}) {
      const HttpAnswer answer = AskHttp(target, question, stream);
      CHECK(answer.text == expected.text);
      REQUIRE(answer.logprobs.size() == expected.logprobs.size());
      CHECK(std::memcmp(answer.logprobs.data(), expected.logprobs.data(),
                        answer.logprobs.size() * sizeof(float)) == 0);
    }
  }
  churn.request_stop();
  churn.join();
  CHECK(changes > 0);
}

TEST_CASE("SIGTERM lets a stream over HTTP end, and the process with it", "[cpu]") {
  ServerProcess server({"http.listen=127.0.0.1:0"});
  const auto client = http1::Client::Connect(server.http_address());
  REQUIRE(client != nullptr);
  REQUIRE(client->Send(http1::RequestText(
      "POST", "/v1/completions",
      R"({"model":"numbers","prompt":"forty-two","stream":true,"max_tokens":400,"ignore_eos":true})")));
  REQUIRE(client->AwaitText("data: "));
  server.Signal(SIGTERM);
  const http1::Answer answer = client->Receive();
  CHECK(answer.complete);
  CHECK(answer.body.ends_with("data: [DONE]\n\n"));
  CHECK(server.Wait() == 0);
}

}  // namespace guildhall
