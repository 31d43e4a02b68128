// The table of request fields: complete, as the page says, and what each class does.
#include <catch2/catch.hpp>

#include "base/mapped_file.h"
#include "base/str_cat.h"
#include "server/http/field_names.h"
#include "server/http/request_fields.h"
#include "tests/server/http/http_fixture.h"

namespace guildhall {
namespace {

// Of OpenAI's reference (openai-python 3.57: completion_create_params, chat/completion_create_params).
const std::vector<std::string_view> kChatReference = {"messages",
                                                      "model",
                                                      "audio",
                                                      "frequency_penalty",
                                                      "function_call",
                                                      "functions",
                                                      "logit_bias",
                                                      "logprobs",
                                                      "max_completion_tokens",
                                                      "max_tokens",
                                                      "metadata",
                                                      "modalities",
                                                      "moderation",
                                                      "n",
                                                      "parallel_tool_calls",
                                                      "prediction",
                                                      "presence_penalty",
                                                      "prompt_cache_key",
                                                      "prompt_cache_options",
                                                      "prompt_cache_retention",
                                                      "reasoning_effort",
                                                      "response_format",
                                                      "safety_identifier",
                                                      "seed",
                                                      "service_tier",
                                                      "stop",
                                                      "store",
                                                      "stream",
                                                      "stream_options",
                                                      "temperature",
                                                      "tool_choice",
                                                      "tools",
                                                      "top_logprobs",
                                                      "top_p",
                                                      "user",
                                                      "verbosity",
                                                      "web_search_options"};
const std::vector<std::string_view> kTextReference = {"model",
                                                      "prompt",
                                                      "best_of",
                                                      "echo",
                                                      "frequency_penalty",
                                                      "logit_bias",
                                                      "logprobs",
                                                      "max_tokens",
                                                      "n",
                                                      "presence_penalty",
                                                      "seed",
                                                      "stop",
                                                      "stream",
                                                      "stream_options",
                                                      "suffix",
                                                      "temperature",
                                                      "top_p",
                                                      "user"};
// What load tools and harnesses send beside them.
const std::vector<std::string_view> kOthers = {"top_k",
                                               "min_p",
                                               "repetition_penalty",
                                               "min_tokens",
                                               "ignore_eos",
                                               "stop_token_ids",
                                               "include_stop_str_in_output",
                                               "prompt_logprobs",
                                               "add_special_tokens",
                                               "skip_special_tokens",
                                               "cache_salt",
                                               "priority",
                                               "request_id",
                                               "return_token_ids",
                                               "structured_outputs",
                                               "guided_json",
                                               "guided_regex",
                                               "guided_choice",
                                               "guided_grammar"};
const std::vector<std::string_view> kOtherChat = {"chat_template_kwargs", "chat_template",
                                                  "add_generation_prompt", "continue_final_message", "echo"};

std::string Row(const RequestField& field) {
  const char* const places[] = {"", "completions", "chat", "both"};
  const char* const uses[] = {"honoured", "refused", "ignored"};
  return StrCat("| `", field.name, "` | ", places[field.place], " | ", uses[static_cast<size_t>(field.use)],
                field.note.empty() ? "" : StrCat(": ", field.note),
                field.nothing.empty() ? "" : StrCat("; `", field.nothing, "` asks for nothing"), " |\n");
}

}  // namespace

TEST_CASE("every field of the reference is in the table") {
  const auto check = [](ApiKind kind, const std::vector<std::string_view>& names) {
    for (const std::string_view name : names) {
      INFO(name);
      CHECK(FindField(kind, name) != nullptr);
    }
  };
  check(ApiKind::kChat, kChatReference);
  check(ApiKind::kCompletions, kTextReference);
  check(ApiKind::kChat, kOtherChat);
  for (const ApiKind kind : {ApiKind::kChat, ApiKind::kCompletions}) check(kind, kOthers);
}

TEST_CASE("the page on HTTP has the table") {
  const auto page = ReadSmallFile(std::string(GUILDHALL_SOURCE_DIR) + "/docs/http.md", 1 << 20);
  REQUIRE(page.ok());
  for (const RequestField& field : RequestFields()) {
    INFO("expected in docs/http.md: " << Row(field));
    CHECK(page->find(Row(field)) != std::string::npos);
  }
}

TEST_CASE("a refused field is refused, unless it asks for nothing") {
  TestServer server({}, HttpTestConfig());
  for (const RequestField& field : RequestFields()) {
    if (field.use != FieldUse::kRefused) continue;
    const bool chat = field.place != RequestField::kCompletions;
    Json body = {{"max_tokens", 1}};
    if (chat) body["messages"].push_back(Json{{"role", "user"}, {"content", "Hi"}});
    if (!chat) body["prompt"] = "Hi";
    const char* const path = chat ? "/v1/chat/completions" : "/v1/completions";
    INFO(field.name);
    body[std::string(field.name)] = "surprise";
    const http1::Answer refused = Post(server, path, body);
    CHECK(refused.status == 400);
    CHECK(Parsed(refused.body)["error"]["param"] == field.name);
    body[std::string(field.name)] = nullptr;
    CHECK(Post(server, path, body).status == 200);
    if (field.nothing.empty()) continue;
    body[std::string(field.name)] = Json::parse(field.nothing);
    CHECK(Post(server, path, body).status == 200);
  }
}

TEST_CASE("an ignored field changes nothing and is named, whatever it is called") {
  TestServer server({}, HttpTestConfig());
  Json body = {{"model", "plain"}, {"prompt", {5}}, {"max_tokens", 2}};
  const http1::Answer plain = Post(server, "/v1/completions", body);
  CHECK(plain.headers.count("x-guildhall-ignored") == 0);
  body["user"] = "u1";
  body["made_up"] = Json{{"a", 1}};
  body["evil\r\nname: x"] = 1;
  const http1::Answer ignored = Post(server, "/v1/completions", body);
  CHECK(ignored.status == 200);
  CHECK(ignored.Header("x-guildhall-ignored") == "user, made_up");
  CHECK(ignored.headers.count("name") == 0);
  CHECK(Parsed(ignored.body)["choices"] == Parsed(plain.body)["choices"]);
}

TEST_CASE("fields of the protocol have their HTTP names") {
  FieldNames chat;
  chat.max_tokens = "max_completion_tokens";
  CHECK(chat.Of("sampling.include_stop") == "include_stop_str_in_output");
  CHECK(chat.Of("sampling.max_tokens") == "max_completion_tokens");
  CHECK(chat.Of("sampling.stop[3]") == "stop[3]");
  CHECK(chat.Of("chat.messages[2].content_json[0].type") == "messages[2].content[0].type");
  CHECK(chat.Of("chat.messages[2].tool_calls[1].arguments_json") ==
        "messages[2].tool_calls[1].function.arguments");
  CHECK(chat.Of("chat.messages[2].tool_calls[1].name") == "messages[2].tool_calls[1].function.name");
  CHECK(chat.Of("chat.messages[2].name") == "messages[2].name");
  CHECK(chat.Of("chat.messages[2].more_json") == "messages[2]");
  CHECK(chat.Of("chat") == "messages");
  CHECK(chat.Of("logprobs.top") == "top_logprobs");
  FieldNames text;
  text.kind = ApiKind::kCompletions;
  text.prompt = "prompt[4]";
  CHECK(text.Of("text") == "prompt[4]");
  CHECK(text.Of("token_ids.ids[7]") == "prompt[4][7]");
  CHECK(text.Of("token_ids") == "prompt[4]");
  CHECK(text.Of("logprobs.top") == "logprobs");
  CHECK(text.Of("cache_salt") == "cache_salt");
}

}  // namespace guildhall
