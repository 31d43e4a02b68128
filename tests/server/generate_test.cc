// Inference over real sockets: what a client sends and what it reads.
#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include "absl/time/clock.h"
#include "tests/server/fixture.h"

namespace guildhall {
namespace {

// The script says `text`, then the end token, when the prompt is the one token `id`.
ScriptedModel::Options Saying(const std::map<int32_t, std::string>& texts) {
  ScriptedModel::Options options;
  for (const auto& [id, text] : texts) {
    options.scripts[id] = Encode(text);
    options.scripts[id].push_back(2);
  }
  return options;
}

bool WholeUtf8(const std::string& text) {
  v1::ChatMessage message;
  message.set_content(text);
  return v1::ChatMessage().ParseFromString(message.SerializeAsString());
}

v1::GenerateRequest ChatRequest(const std::vector<std::pair<std::string, std::string>>& messages,
                                int64_t max_tokens) {
  v1::GenerateRequest request;
  for (const auto& [role, content] : messages) {
    v1::ChatMessage& message = *request.mutable_chat()->add_messages();
    message.set_role(role);
    message.set_content(content);
  }
  request.mutable_sampling()->set_max_tokens(max_tokens);
  return request;
}

v1::TokenizeResponse Tokens(const TestServer& server, const v1::GenerateRequest& like) {
  v1::TokenizeRequest request;
  request.set_task(like.task());
  if (like.has_text()) request.set_text(like.text());
  if (like.has_chat()) *request.mutable_chat() = like.chat();
  if (like.has_token_ids()) *request.mutable_token_ids() = like.token_ids();
  request.set_pieces(true);
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  const grpc::Status status = server.Inference()->Tokenize(&context, request, &response);
  INFO(status.error_message());
  REQUIRE(status.ok());
  return response;
}

}  // namespace

TEST_CASE("an answer is streamed: start, whole characters, end with usage and timings") {
  const std::string said = "Gr\xc3\xbc\xc3\x9f Gott \xf0\x9f\x98\x80 and so on";
  TestServer server(Saying({{50, said}}));
  auto stub = server.Inference();
  const Answer answer = Ask(*stub, IdRequest(50, 100));
  REQUIRE(answer.status.ok());
  CHECK(answer.text == said);
  CHECK(answer.tokens == Encode(said));
  for (const std::string& piece : answer.pieces) CHECK(WholeUtf8(piece));
  CHECK(answer.start.prompt_tokens() == 1);
  CHECK(answer.start.request_id() > 0);
  CHECK(answer.end.finish_reason() == v1::FINISH_REASON_STOP);
  CHECK(answer.end.stop_token_id() == 2);
  CHECK(answer.end.seed() == answer.start.seed());
  CHECK(answer.end.usage().prompt_tokens() == 1);
  CHECK(answer.end.usage().output_tokens() == static_cast<int64_t>(Encode(said).size()) + 1);
  CHECK(answer.end.timings().total().seconds() * 1'000'000'000 + answer.end.timings().total().nanos() > 0);
  server.WaitUntilIdle();
}

TEST_CASE("a length cut inside a character shows what is there, as valid text") {
  const std::string emoji = "\xf0\x9f\x98\x80\xf0\x9f\x98\x81";
  TestServer server(Saying({{50, emoji}}));
  auto stub = server.Inference();
  for (int64_t length = 1; length <= static_cast<int64_t>(Encode(emoji).size()); ++length) {
    const Answer answer = Ask(*stub, IdRequest(50, length));
    REQUIRE(answer.status.ok());
    CHECK(answer.end.finish_reason() == v1::FINISH_REASON_LENGTH);
    const auto ids = Encode(emoji);
    const auto expected =
        DemoText().tokenizer->Decode(std::span(ids).first(static_cast<size_t>(length)), true);
    CHECK(answer.text == *expected);
    for (const std::string& piece : answer.pieces) CHECK(WholeUtf8(piece));
  }
}

TEST_CASE("stop strings never leak, wherever tokens cut them") {
  const std::string said = "one two three STOPPER four five";
  TestServer server(Saying({{50, said}}));
  auto stub = server.Inference();
  for (const std::string& stop :
       {std::string("STOPPER"), std::string("three"), std::string("e t"), std::string(" fi"),
        std::string("o"), std::string("never"), std::string("fivex")}) {
    INFO(stop);
    v1::GenerateRequest request = IdRequest(50, 100);
    request.mutable_sampling()->add_stop(stop);
    const Answer cut = Ask(*stub, request);
    REQUIRE(cut.status.ok());
    const size_t at = said.find(stop);
    CHECK(cut.text == said.substr(0, at));
    CHECK(cut.end.finish_reason() == v1::FINISH_REASON_STOP);
    CHECK(cut.end.stop_text() == (at == std::string::npos ? "" : stop));
    if (at != std::string::npos)
      CHECK(cut.end.usage().output_tokens() == static_cast<int64_t>(cut.tokens.size()));
    request.mutable_sampling()->set_include_stop(true);
    const Answer kept = Ask(*stub, request);
    CHECK(kept.text == (at == std::string::npos ? said : said.substr(0, at + stop.size())));
  }
  // Before min_tokens a stop string is text.
  v1::GenerateRequest late = IdRequest(50, 100);
  late.mutable_sampling()->add_stop("one");
  late.mutable_sampling()->set_min_tokens(5);
  CHECK(Ask(*stub, late).text == said);
  server.WaitUntilIdle();
}

TEST_CASE("a stop string across the border of min_tokens counts") {
  TestServer server(Saying({{50, "one STOP two"}}));
  auto stub = server.Inference();
  const auto ids = Encode("one STOP two");
  for (int64_t least = 0; least <= static_cast<int64_t>(ids.size()); ++least) {
    v1::GenerateRequest request = IdRequest(50, 100);
    request.mutable_sampling()->add_stop("STOP");
    request.mutable_sampling()->set_min_tokens(least);
    const Answer answer = Ask(*stub, request);
    REQUIRE(answer.status.ok());
    // The token that completes it is the one that has to be behind the border.
    size_t complete = 1;
    while (DemoText().tokenizer->Decode(std::span(ids).first(complete), true)->find("STOP") ==
           std::string::npos) {
      ++complete;
    }
    INFO(least << " of " << complete);
    CHECK(answer.text == (least <= static_cast<int64_t>(complete) ? "one " : "one STOP two"));
  }
}

TEST_CASE("a stop string that names a special token stops at the token") {
  ScriptedModel::Options options;
  options.scripts[50] = Encode("ab");
  const int32_t special = *DemoText().tokenizer->TokenId("<|user|>");
  options.scripts[50].push_back(special);
  for (const int32_t id : Encode(" on")) options.scripts[50].push_back(id);
  TestServer server(std::move(options));
  auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(50, 12);
  request.mutable_sampling()->set_ignore_eos(true);
  CHECK(Ask(*stub, request).text != "ab");
  request.mutable_sampling()->add_stop("<|user|>");
  const Answer answer = Ask(*stub, request);
  REQUIRE(answer.status.ok());
  CHECK(answer.text == "ab");
  CHECK(answer.end.finish_reason() == v1::FINISH_REASON_STOP);
  CHECK(answer.end.stop_text() == "<|user|>");
  CHECK(answer.tokens == Encode("ab"));
  request.mutable_sampling()->set_include_stop(true);
  CHECK(Ask(*stub, request).text == "ab<|user|>");
}

TEST_CASE("stop tokens end the answer and are named, not sent") {
  TestServer server(Saying({{50, "abc"}}));
  auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(50, 100);
  const auto ids = Encode("abc");
  request.mutable_sampling()->add_stop_token_ids(ids.back());
  const Answer answer = Ask(*stub, request);
  CHECK(answer.end.stop_token_id() == ids.back());
  CHECK(answer.tokens == std::vector<int32_t>(ids.begin(), ids.end() - 1));
  v1::GenerateRequest on = IdRequest(50, static_cast<int64_t>(ids.size()) + 3);
  on.mutable_sampling()->set_ignore_eos(true);
  CHECK(Ask(*stub, on).end.finish_reason() == v1::FINISH_REASON_LENGTH);
}

TEST_CASE("text is encoded as it is, chats by the template, and a task's system prompt makes text a chat") {
  TestServer server;
  const Tokenizer& tokenizer = *DemoText().tokenizer;
  const auto text = Tokens(server, TextRequest("hello", 1));
  CHECK(std::vector<int32_t>(text.token_ids().begin(), text.token_ids().end()) ==
        *tokenizer.Encode("hello", true));
  CHECK(text.text() == "hello");

  const auto chat = Tokens(server, ChatRequest({{"system", "Answer briefly."}, {"user", "hello"}}, 1));
  CHECK_THAT(chat.text(), Catch::Contains("Answer briefly.") && Catch::Contains("hello"));
  const auto ids = *tokenizer.Encode(chat.text(), false);
  CHECK(std::vector<int32_t>(chat.token_ids().begin(), chat.token_ids().end()) == ids);

  // The same prompt by way of the task.
  v1::GenerateRequest by_task = TextRequest("hello", 1);
  by_task.set_task("tell");
  CHECK(Tokens(server, by_task).text() == chat.text());
  v1::GenerateRequest user_only = ChatRequest({{"user", "hello"}}, 1);
  user_only.set_task("tell");
  CHECK(Tokens(server, user_only).text() == chat.text());
  // A system message of the request's own counts.
  v1::GenerateRequest own = ChatRequest({{"system", "Mine."}, {"user", "hello"}}, 1);
  own.set_task("tell");
  CHECK_THAT(Tokens(server, own).text(), Catch::Contains("Mine.") && !Catch::Contains("Answer briefly."));

  v1::GenerateRequest back;
  for (const int32_t id : ids) back.mutable_token_ids()->add_ids(id);
  const auto decoded = Tokens(server, back);
  CHECK(decoded.text() == chat.text());
  std::string joined;
  for (const std::string& piece : decoded.pieces()) joined += piece;
  CHECK(joined == chat.text());

  auto stub = server.Inference();
  for (const auto& request :
       {TextRequest("hello", 3), ChatRequest({{"user", "hello"}}, 3), by_task, IdRequest(9, 3)}) {
    const Answer answer = Ask(*stub, request);
    INFO(answer.status.error_message());
    REQUIRE(answer.status.ok());
    CHECK(answer.start.prompt_tokens() ==
          (request.has_token_ids() ? 1 : Tokens(server, request).token_ids_size()));
  }
}

TEST_CASE("log-probabilities are those of the model, for answer and prompt") {
  ScriptedModel::Options options;
  options.scripts[50] = {300, 301, 302};
  TestServer server(options);
  auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(50, 3);
  request.mutable_token_ids()->add_ids(300);  // the script's own first answer, so the next is scripts[50][1]
  request.mutable_logprobs()->set_top(2);
  request.mutable_logprobs()->set_prompt(true);
  const Answer answer = Ask(*stub, request);
  REQUIRE(answer.status.ok());
  // softmax over the scripted logits, in double
  const auto log_probability = [](int32_t chosen, int32_t token) {
    const auto logit = [&](int32_t t) {
      return t == chosen ? 10.0 : static_cast<double>(-0.001f * static_cast<float>(t));
    };
    double sum = 0;
    for (int32_t t = 0; t < 2048; ++t) sum += std::exp(logit(t));
    return logit(token) - std::log(sum);
  };
  REQUIRE(answer.logprobs.size() == 3);
  CHECK(answer.logprobs[0].token_id() == 301);
  CHECK(static_cast<double>(answer.logprobs[0].logprob()) == Approx(log_probability(301, 301)).epsilon(1e-5));
  REQUIRE(answer.logprobs[0].top_size() == 2);
  CHECK(answer.logprobs[0].top(1).token_id() == 0);
  CHECK(static_cast<double>(answer.logprobs[0].top(1).logprob()) ==
        Approx(log_probability(301, 0)).epsilon(1e-5));
  REQUIRE(answer.prompt.size() == 2);
  CHECK(answer.prompt[0].token_id() == 50);
  CHECK_FALSE(answer.prompt[0].has_logprob());
  CHECK(answer.prompt[1].token_id() == 300);
  CHECK(static_cast<double>(answer.prompt[1].logprob()) == Approx(log_probability(300, 300)).epsilon(1e-5));
  // max_tokens = 0 scores the prompt and generates nothing.
  request.mutable_sampling()->set_max_tokens(0);
  const Answer scored = Ask(*stub, request);
  REQUIRE(scored.status.ok());
  CHECK(scored.tokens.empty());
  CHECK(scored.prompt.size() == 2);
}

TEST_CASE("a seed is echoed, and given again it gives the same tokens") {
  ScriptedModel::Options options;
  options.fallback = {7};
  TestServer server(options);
  auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(50, 20);
  request.mutable_sampling()->set_temperature(50);  // far from greedy: the draw decides
  const Answer first = Ask(*stub, request);
  const Answer second = Ask(*stub, request);
  CHECK(first.start.seed() != second.start.seed());
  CHECK(first.tokens != second.tokens);
  request.mutable_sampling()->set_seed(first.start.seed());
  CHECK(Ask(*stub, request).tokens == first.tokens);
}

TEST_CASE("requests of mixed tasks at the same time each get their own answer") {
  std::map<int32_t, std::string> texts;
  for (int32_t i = 0; i < 24; ++i) texts[100 + i] = "answer number " + std::to_string(i) + " is this one";
  TestServer server(Saying(texts));
  std::vector<Answer> answers(texts.size());
  {
    std::vector<std::jthread> clients;
    for (size_t i = 0; i < answers.size(); ++i) {
      clients.emplace_back([&, i] {
        auto stub = server.Inference();
        v1::GenerateRequest request = IdRequest(100 + static_cast<int32_t>(i), 100);
        request.set_task(i % 2 == 0 ? "" : "tell");
        answers[i] = Ask(*stub, request);
      });
    }
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    INFO(answers[i].status.error_message());
    CHECK(answers[i].status.ok());
    CHECK(answers[i].text == texts[100 + static_cast<int32_t>(i)]);
  }
  server.WaitUntilIdle();
  const v1::GetStatusResponse status = server.Status();
  uint64_t requests = 0;
  for (const auto& task : status.tasks()) requests += task.requests();
  CHECK(requests == texts.size());
}

TEST_CASE("speculation changes no byte of an answer and tells how many guesses were right") {
  std::string said;
  for (int i = 0; i < 12; ++i) said += "and over and over, ";
  ServerConfig config = TestConfig();
  config.tasks["tell"].speculation.max_draft_tokens = 8;
  TestServer server(Saying({{50, said + "STOP here"}}), config);
  auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(50, 400);
  request.mutable_logprobs()->set_chosen(true);
  request.mutable_sampling()->add_stop("STOP");
  const Answer plain = Ask(*stub, request);
  CHECK(plain.text == said);
  CHECK(plain.end.usage().drafted_tokens() == 0);
  request.mutable_speculation()->set_max_draft_tokens(16);
  const Answer speculated = Ask(*stub, request);
  CHECK(speculated.text == plain.text);
  CHECK(speculated.tokens == plain.tokens);
  CHECK(speculated.end.finish_reason() == v1::FINISH_REASON_STOP);
  CHECK(speculated.end.stop_text() == "STOP");
  CHECK(speculated.end.usage().output_tokens() == plain.end.usage().output_tokens());
  CHECK(speculated.end.usage().accepted_tokens() > 10);
  CHECK(speculated.end.usage().accepted_tokens() <= speculated.end.usage().drafted_tokens());
  // The engine's steps run on behind the stop string: those tokens and guesses are not the answer's.
  CHECK(speculated.end.usage().accepted_tokens() < speculated.end.usage().output_tokens());
  // The task's default, and the counts of the status.
  request.clear_speculation();
  request.set_task("tell");
  CHECK(Ask(*stub, request).end.usage().accepted_tokens() > 10);
  server.WaitUntilIdle();
  const v1::GetStatusResponse status = server.Status();
  for (const auto& task : status.tasks()) {
    if (task.id() != "plain") CHECK(task.accepted_tokens() > 10);
  }
}

TEST_CASE("guesses that were right behind a stop string do not count") {
  // The first chunk of the answer has the stop string; the engine guesses what follows, and is right.
  std::string said = "one STOP";
  for (int i = 0; i < 40; ++i) said += " and over and over,";
  TestServer server(Saying({{50, said}}), TestConfig());
  auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(50, 700);
  request.mutable_sampling()->add_stop("STOP");
  request.mutable_speculation()->set_max_draft_tokens(16);
  for (int i = 0; i < 20; ++i) {
    const Answer answer = Ask(*stub, request);
    CHECK(answer.end.stop_text() == "STOP");
    CHECK(answer.end.usage().output_tokens() == static_cast<int>(answer.tokens.size()));
    CHECK(answer.end.usage().accepted_tokens() < answer.end.usage().output_tokens());
    CHECK(answer.end.usage().accepted_tokens() <= answer.end.usage().drafted_tokens());
  }
}

TEST_CASE("tasks are listed with what a request gets that sets nothing") {
  ServerConfig config = TestConfig();
  config.tasks["tell"].sampling.top_k = 5;
  TestServer server({}, config);
  v1::ListTasksResponse response;
  grpc::ClientContext context;
  REQUIRE(server.Inference()->ListTasks(&context, {}, &response).ok());
  REQUIRE(response.tasks_size() == 3);
  CHECK(response.tasks(0).id().empty());
  CHECK(response.tasks(1).id() == "plain");
  CHECK(response.tasks(2).id() == "tell");
  CHECK(response.tasks(2).description() == "tells");
  CHECK(response.tasks(2).has_system_prompt());
  CHECK(response.tasks(2).has_chat_template());
  CHECK(response.tasks(2).defaults().top_k() == 5);
  CHECK(response.tasks(2).speculation().max_draft_tokens() == 0);
  CHECK(response.tasks(2).speculation().min_ngram() == 2);
  CHECK(response.tasks(1).defaults().top_k() == 0);
  CHECK(response.tasks(1).defaults().temperature() == 0.0f);
}

}  // namespace guildhall
