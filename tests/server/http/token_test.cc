// /tokenize, /detokenize and /tokenizer_info.
#include <catch2/catch.hpp>

#include "tests/server/http/http_fixture.h"

namespace guildhall {

TEST_CASE("tokenize gives the ids that a request would have, and detokenize the text back") {
  TestServer server({}, HttpTestConfig());
  const std::string text = "Gr\xc3\xbc\xc3\x9f Gott";
  const Json answer = Parsed(
      Post(server, "/tokenize", {{"model", "plain"}, {"prompt", text}, {"add_special_tokens", false}}).body);
  CHECK(answer["tokens"].get<std::vector<int32_t>>() == Encode(text));
  CHECK(answer["count"] == answer["tokens"].size());
  CHECK(answer["max_model_len"] == 1024);
  CHECK(answer["token_strs"].is_null());
  const Json back = Parsed(Post(server, "/detokenize", {{"tokens", answer["tokens"]}}).body);
  CHECK(back["prompt"] == text);
  CHECK(Parsed(Post(server, "/detokenize", {{"tokens", Json::array()}}).body)["prompt"] == "");
}

TEST_CASE("tokenize of messages renders the task's template") {
  TestServer server({}, HttpTestConfig());
  v1::TokenizeRequest request;
  request.set_task("tell");
  v1::ChatMessage& message = *request.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content("Hi");
  v1::TokenizeResponse expected;
  grpc::ClientContext context;
  REQUIRE(server.Inference()->Tokenize(&context, request, &expected).ok());
  Json body = {{"model", "tell"}, {"return_token_strs", true}};
  body["messages"].push_back(Json{{"role", "user"}, {"content", "Hi"}});
  const Json answer = Parsed(Post(server, "/tokenize", body).body);
  CHECK(answer["tokens"].get<std::vector<int32_t>>() ==
        std::vector<int32_t>(expected.token_ids().begin(), expected.token_ids().end()));
  CHECK(answer["token_strs"].size() == answer["tokens"].size());
}

TEST_CASE("errors of the tokenizer's endpoints name what the client sent") {
  TestServer server({}, HttpTestConfig());
  const auto param = [&](const char* path, const Json& body) {
    const http1::Answer answer = Post(server, path, body);
    CHECK(answer.status == 400);
    return Parsed(answer.body)["error"]["param"].get<std::string>();
  };
  CHECK(param("/tokenize", Json::object()) == "prompt");
  CHECK(param("/tokenize", {{"prompt", 5}}) == "prompt");
  CHECK(param("/tokenize", {{"prompt", "a"}, {"add_special_tokens", 1}}) == "add_special_tokens");
  CHECK(param("/detokenize", Json::object()) == "tokens");
  CHECK(param("/detokenize", {{"tokens", {1, -2}}}) == "tokens[1]");
  CHECK(param("/detokenize", {{"tokens", {1, 99999}}}) == "tokens[1]");
}

TEST_CASE("the tokenizer's information has what harnesses probe") {
  TestServer server({}, HttpTestConfig());
  const Json info = Parsed(http1::Ask(HttpTarget(server), "GET", "/tokenizer_info").body);
  CHECK(info["eos_token"] == DemoText().eos->text);
  CHECK(info["chat_template"].is_string());
  CHECK(info["model_max_length"] == 1024);
}

}  // namespace guildhall
