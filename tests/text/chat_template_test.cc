// Chat templates against what transformers renders (tests/text/make).
#include "text/chat_template.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <thread>
#include <vector>

#include "tests/text/data.h"

namespace guildhall {
namespace {

using text_test::DataPath;
using text_test::Json;
using text_test::ReadFile;
using text_test::ReadJson;

absl::CivilSecond CivilFrom(const Json& now) {
  return absl::CivilSecond(now[0].get<int>(), now[1].get<int>(), now[2].get<int>(), now[3].get<int>(),
                           now[4].get<int>(), now[5].get<int>());
}

std::shared_ptr<const ChatTemplate> Compile(const std::string& source) {
  auto compiled = ChatTemplate::Compile(source);
  INFO(compiled.status().ToString());
  REQUIRE(compiled.ok());
  return *compiled;
}

absl::StatusOr<std::string> RenderUser(const std::string& source, const std::string& variables = "") {
  auto compiled = ChatTemplate::Compile(source);
  if (!compiled.ok()) return compiled.status();
  return (*compiled)->Render(
      {.messages_json = R"([{"role": "user", "content": "x"}])", .variables_json = variables});
}

// Null in the goldens: transformers raises, so we must refuse.
void CheckSame(const absl::StatusOr<std::string>& found, const Json& expected) {
  INFO("status: " << found.status().ToString());
  if (expected.is_null()) {
    CHECK(found.status().code() == absl::StatusCode::kInvalidArgument);
  } else {
    REQUIRE(found.ok());
    CHECK(*found == expected.get<std::string>());
  }
}

TEST_CASE("templates of real models render as transformers renders them") {
  const Json goldens = ReadJson("template_goldens.json");
  std::map<std::string, std::shared_ptr<const ChatTemplate>> templates;
  size_t texts = 0;
  for (const Json& golden : goldens["cases"]) {
    const std::string file = golden["template"];
    if (!templates.contains(file)) templates[file] = Compile(ReadFile(DataPath("templates/" + file)));
    const std::string conversation = golden["conversation"];
    CAPTURE(file, conversation, golden["tools"].get<bool>(), golden["prompt"].get<bool>());
    const std::string messages = goldens["conversations"][conversation].dump();
    const std::string tools = golden["tools"].get<bool>() ? goldens["tools"].dump() : "";
    const std::string variables = golden["variables"].dump();
    CheckSame(templates[file]->Render({.messages_json = messages,
                                       .tools_json = tools,
                                       .add_generation_prompt = golden["prompt"].get<bool>(),
                                       .variables_json = variables,
                                       .now = CivilFrom(goldens["now"])}),
              golden["text"]);
    texts += golden["text"].is_null() ? 0 : 1;
  }
  CHECK(templates.size() >= 6);
  CHECK(texts >= 400);
}

TEST_CASE("Jinja and Python semantics are those of transformers") {
  const Json goldens = ReadJson("semantics.json");
  const std::string variables = goldens["variables"].dump();
  for (const Json& golden : goldens["cases"]) {
    const std::string source = golden["template"];
    CAPTURE(source);
    auto compiled = ChatTemplate::Compile(source);
    if (!compiled.ok()) {
      CheckSame(compiled.status(), golden["text"]);
      continue;
    }
    CheckSame((*compiled)->Render({.messages_json = R"([{"role": "user", "content": "x"}])",
                                   .variables_json = variables,
                                   .now = CivilFrom(goldens["now"])}),
              golden["text"]);
  }
}

TEST_CASE("raise_exception is InvalidArgument with the template's words") {
  const auto text = RenderUser("{{ raise_exception('roles must alternate') }}");
  CHECK(text.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(text.status().message() == "the chat template refuses these messages: roles must alternate");
}

TEST_CASE("a syntax error names the line") {
  const auto compiled = ChatTemplate::Compile("fine\n{% if %}");
  CHECK(compiled.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(compiled.status().ToString().find(":2)") != std::string::npos);
}

TEST_CASE("arguments of the wrong shape are refused by name") {
  const auto render = Compile("{{ messages[0].content }}{{ x }}");
  const auto message_of = [&](std::string_view messages, std::string_view tools, std::string_view variables) {
    const auto text =
        render->Render({.messages_json = messages, .tools_json = tools, .variables_json = variables});
    CHECK(text.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(text.status().message());
  };
  CHECK(message_of("{}", "", "") == "messages: expected an array, found an object");
  CHECK(message_of("[1]", "", "") == "messages[0]: expected an object, found a number");
  CHECK(message_of("[", "", "").starts_with("messages: not valid JSON"));
  CHECK(message_of("[]", "{}", "") == "tools: expected an array or null, found an object");
  CHECK(message_of("[]", "[{}, 2]", "") == "tools[1]: expected an object, found a number");
  CHECK(message_of("[]", "", "[]") == "template variables: expected an object, found an array");
  CHECK(message_of("[]", "", R"({"messages": 1})") ==
        "template variables: \"messages\" is set by the server itself");
  CHECK(message_of("[\"\xff\"]", "", "").starts_with("messages: expected UTF-8"));
  CHECK(message_of(std::string(1'000'000, '['), "", "")
            .starts_with("messages: not valid JSON: recursion limit"));
  CHECK(message_of("", "", "").starts_with("messages: not valid JSON"));
}

TEST_CASE("text may hold NUL characters and any size of number") {
  const auto text = RenderUser("[{{ a }}|{{ b }}|{{ c }}]",
                               R"({"a": "x\u0000y", "b": 18446744073709551615, "c": -9223372036854775808})");
  REQUIRE(text.ok());
  CHECK(*text == std::string("[x\0y|18446744073709551615|-9223372036854775808]", 47));
}

TEST_CASE("without a date the clock of the machine is used") {
  const auto year = RenderUser("{{ strftime_now('%Y') }}");
  REQUIRE(year.ok());
  CHECK(std::stoi(*year) >= 2025);
}

TEST_CASE("one template renders on many threads at once") {
  const auto shared = Compile("{% for i in range(50) %}{{ messages[0].content }}{{ i }},{% endfor %}");
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string messages = R"([{"role": "user", "content": ")" + std::to_string(t) + "\"}]";
      std::string expected;
      for (int i = 0; i < 50; ++i) expected += std::to_string(t) + std::to_string(i) + ",";
      for (int i = 0; i < 20; ++i) {
        const auto text = shared->Render({.messages_json = messages});
        if (!text.ok() || *text != expected) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace guildhall
