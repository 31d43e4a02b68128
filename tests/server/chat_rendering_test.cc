// Chats through the request: what a client can say of a message reaches the template as transformers gives it
// the same conversation (goldens of tests/text/make), and what a template cannot take is said otherwise.
#include "server/chat_rendering.h"

#include <catch2/catch.hpp>
#include <map>

#include "server/chat_forms.h"
#include "tests/text/data.h"

namespace guildhall {
namespace {

using text_test::DataPath;
using text_test::ReadFile;
using text_test::ReadJson;
using Goldens = text_test::Json;

ServedLimits Limits() {
  return MakeServedLimits(LimitsConfig{}, 1000, 4096, 4096);
}

std::shared_ptr<const ChatTemplate> Compile(const std::string& source) {
  auto compiled = ChatTemplate::Compile(source);
  INFO(compiled.status().ToString());
  REQUIRE(compiled.ok());
  return *compiled;
}

// A message of the goldens as a client sends it.
void Say(const Goldens& from, v1::ChatMessage& to) {
  for (const auto& [key, value] : from.items()) {
    if (key == "role") {
      to.set_role(value.get<std::string>());
    } else if (key == "content" && value.is_string()) {
      to.set_content(value.get<std::string>());
    } else if (key == "content" && value.is_array()) {
      to.set_content_json(value.dump());
    } else if (key == "name") {
      to.set_name(value.get<std::string>());
    } else if (key == "tool_call_id") {
      to.set_tool_call_id(value.get<std::string>());
    } else if (key == "reasoning_content") {
      to.set_reasoning(value.get<std::string>());
    } else if (key == "tool_calls") {
      for (const Goldens& call : value) {
        v1::ToolCall& said = *to.add_tool_calls();
        said.set_id(call["id"].get<std::string>());
        said.set_name(call["function"]["name"].get<std::string>());
        const Goldens& arguments = call["function"]["arguments"];
        // An object as Python writes it: the goldens' texts are its.
        said.set_arguments_json(arguments.dump() == R"({"city":"A'b\"c"})" ? R"({"city": "A'b\"c"})"
                                                                           : arguments.dump());
      }
    } else if (key != "content") {
      to.set_more_json(Goldens{{key, value}}.dump());
    }
  }
}

absl::StatusOr<ChatPrompt> Validated(const v1::TokenizeRequest& request) {
  auto input = ValidateInput(request, Limits());
  if (!input.ok()) return input.status();
  return std::get<ChatPrompt>(*std::move(input));
}

absl::StatusOr<std::string> Rendered(const v1::TokenizeRequest& request,
                                     std::shared_ptr<const ChatTemplate> chat_template,
                                     std::optional<absl::CivilSecond> now = {}) {
  const auto chat = Validated(request);
  if (!chat.ok()) return chat.status();
  Task task;
  task.chat_template = std::move(chat_template);
  const TextAssets text;
  const WorkLimit work;
  return RenderChat(task, *chat, {text, work, now});
}

// The conversation first, then what the same is in other words, in the order in which they are tried.
const std::map<std::string, std::vector<std::string>> kForms = {
    {"tool result last",
     {"tool result last, text", "tool result last, nothing", "tool result last, nothing, text"}},
    {"tool result last, text",
     {"tool result last", "tool result last, nothing, text", "tool result last, nothing"}},
    {"tool result last, nothing", {"tool result last, nothing, text"}},
    {"tool result last, nothing, text", {"tool result last, nothing"}},
    {"arguments as text", {"arguments as object"}},
    {"arguments as object", {"arguments as text"}},
    {"parts", {"parts joined"}},
};

TEST_CASE("conversations through a request render as transformers renders them") {
  const Goldens goldens = ReadJson("template_goldens.json");
  const Goldens& day = goldens["now"];
  const absl::CivilSecond now(day[0].get<int>(), day[1].get<int>(), day[2].get<int>(), day[3].get<int>(),
                              day[4].get<int>(), day[5].get<int>());
  std::map<std::string, std::shared_ptr<const ChatTemplate>> templates;
  const auto text_of = [&](const Goldens& like, const std::string& conversation) {
    for (const Goldens& golden : goldens["cases"]) {
      if (golden["template"] == like["template"] && golden["conversation"] == conversation &&
          golden["tools"] == like["tools"] && golden["prompt"] == like["prompt"] &&
          golden["variables"] == like["variables"]) {
        return golden["text"];
      }
    }
    return Goldens();
  };
  int same = 0, otherwise = 0;
  for (const Goldens& golden : goldens["cases"]) {
    const std::string file = golden["template"], conversation = golden["conversation"];
    if (conversation == "empty") continue;  // a request has a message
    if (!templates.contains(file)) templates[file] = Compile(ReadFile(DataPath("templates/" + file)));
    CAPTURE(file, conversation, golden["tools"].get<bool>(), golden["prompt"].get<bool>());
    v1::TokenizeRequest request;
    v1::ChatInput& chat = *request.mutable_chat();
    for (const Goldens& message : goldens["conversations"][conversation]) Say(message, *chat.add_messages());
    if (golden["tools"].get<bool>()) chat.set_tools_json(goldens["tools"].dump());
    chat.set_add_generation_prompt(golden["prompt"].get<bool>());
    chat.set_template_variables_json(golden["variables"].dump());
    const auto found = Rendered(request, templates[file], now);
    Goldens expected = golden["text"];
    // A template that walks over content may still print parts as Python would: transformers' text counts.
    const bool joined = conversation == "parts" && !templates[file]->TakesParts();
    if (joined) expected = nullptr;
    if (kForms.contains(conversation)) {
      for (const std::string& form : kForms.at(conversation)) {
        if (expected.is_null()) expected = text_of(golden, form), ++otherwise;
      }
    }
    INFO(found.status().ToString());
    if (expected.is_null()) {
      CHECK(found.status().code() == absl::StatusCode::kInvalidArgument);
      continue;
    }
    REQUIRE(found.ok());
    CHECK(*found == expected.get<std::string>());
    ++same;
  }
  CHECK(templates.size() >= 10);
  CHECK(same >= 700);
  CHECK(otherwise >= 40);
}

TEST_CASE("a template that joins the arguments of a call as text gets what the client sent") {
  const auto joins = Compile(
      "{% for m in messages %}{% if m.content is none %}{{ '<' + m.tool_calls[0].function.arguments + '>' }}"
      "{% else %}{{ m.content }}{% endif %}{% endfor %}");
  const auto walks = Compile(
      "{% for k, v in messages[0].tool_calls[0].function.arguments.items() %}{{ k }}={{ v }};{% endfor %}");
  v1::TokenizeRequest request;
  v1::ChatMessage& message = *request.mutable_chat()->add_messages();
  message.set_role("assistant");
  v1::ToolCall& call = *message.add_tool_calls();
  call.set_name("f");
  for (const char* sent : {R"({"city":  "Zürich"})", R"("{\"city\":  \"Zürich\"}")"}) {
    call.set_arguments_json(sent);
    CHECK(Rendered(request, joins).value() == R"(<{"city":  "Zürich"}>)");
    CHECK(Rendered(request, walks).value() == "city=Zürich;");
  }
}

TEST_CASE("text of arguments that is too large as an object stays text") {
  const auto walks =
      Compile("{% for k, v in messages[0].tool_calls[0].function.arguments.items() %}{{ k }}{% endfor %}");
  v1::TokenizeRequest request;
  v1::ChatMessage& message = *request.mutable_chat()->add_messages();
  message.set_role("assistant");
  v1::ToolCall& call = *message.add_tool_calls();
  call.set_name("f");
  const auto arguments = [&](int keys) {
    std::string object = "{\"0\": 0";
    for (int i = 1; i < keys; ++i) object += ", \"" + std::to_string(i) + "\": 0";
    call.set_arguments_json(Goldens(object + "}").dump());
    return Rendered(request, walks).status().code();
  };
  CHECK(arguments(2) == absl::StatusCode::kOk);
  CHECK(arguments(16'385) == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("content that is null, empty or in parts, reasoning and further keys reach the template") {
  const auto shows = Compile(
      "{% for m in messages %}[{{ m.role }}|{{ m.content is none }}|{{ m.content is string }}|"
      "{{ m.reasoning_content }}|{{ m.thinking }}|{{ m.weight }}]{% endfor %}");
  v1::TokenizeRequest request;
  v1::ChatInput& chat = *request.mutable_chat();
  chat.add_messages()->set_role("user");
  chat.add_messages()->set_role("a");
  chat.mutable_messages(1)->set_content_json("null");
  chat.add_messages()->set_role("b");
  chat.mutable_messages(2)->set_content("x");
  chat.mutable_messages(2)->set_reasoning("why");
  chat.mutable_messages(2)->set_more_json(R"({"weight": [1]})");
  CHECK(Rendered(request, shows).value() ==
        "[user|False|True|||][a|True|False|||][b|False|True|why|why|[1]]");

  const auto text_only = Compile("{{ '<' + messages[0].content + '>' }}");
  const auto parts = Compile("{% for p in messages[0]['content'] %}<{{ p.text }}>{% endfor %}");
  v1::TokenizeRequest in_parts;
  in_parts.mutable_chat()->add_messages()->set_role("user");
  in_parts.mutable_chat()->mutable_messages(0)->set_content_json(
      R"([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])");
  CHECK_FALSE(text_only->TakesParts());
  CHECK(parts->TakesParts());
  CHECK(Rendered(in_parts, text_only).value() == "<a\nb>");
  CHECK(Rendered(in_parts, parts).value() == "<a><b>");
}

TEST_CASE("a message that cannot be read is refused by the field") {
  const auto refusal = [](auto change) {
    v1::TokenizeRequest request;
    v1::ChatMessage& message = *request.mutable_chat()->add_messages();
    message.set_role("user");
    change(message);
    const auto chat = Validated(request);
    REQUIRE_FALSE(chat.ok());
    return std::string(chat.status().message());
  };
  CHECK_THAT(
      refusal([](auto& m) { m.set_content_json(R"([{"type": "image_url"}])"); }),
      Catch::Contains("chat.messages[0].content_json[0].type: expected \"text\", found \"image_url\""));
  CHECK_THAT(refusal([](auto& m) { m.set_content_json(R"([{"type": "text"}])"); }),
             Catch::Contains("chat.messages[0].content_json[0].text: expected a string"));
  CHECK_THAT(refusal([](auto& m) { m.set_content_json("[3]"); }),
             Catch::Contains("chat.messages[0].content_json[0]: expected an object"));
  CHECK_THAT(refusal([](auto& m) { m.set_content_json("{}"); }),
             Catch::Contains("expected null or an array of parts, found object"));
  CHECK_THAT(refusal([](auto& m) { m.set_content("x"), m.set_content_json("null"); }),
             Catch::Contains("chat.messages[0].content_json: excludes content"));
  CHECK_THAT(refusal([](auto& m) { m.set_more_json(R"({"content": "x"})"); }),
             Catch::Contains("chat.messages[0].more_json: \"content\" has a field of its own"));
  CHECK_THAT(refusal([](auto& m) { m.set_more_json("[]"); }),
             Catch::Contains("expected a JSON object, found array"));
}

TEST_CASE("a task whose template cannot take its system prompt or a user's text is refused by its key") {
  const auto problem = [](const std::string& source, const std::string& system_prompt, const char* text) {
    ServerConfig config;
    TaskConfig& task = config.tasks["t"];
    task.id = "t";
    task.chat_template = source;
    task.system_prompt = system_prompt;
    task.text = text;
    TextAssets assets;
    assets.tokenizer = Tokenizer::Load(DataPath("tokenizers/metaspace.json")).value();
    return TaskRegistry::Build(config, assets, {}).status();
  };
  const std::string strict =
      "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('no role ' + "
      "m.role) }}{% endif %}{{ m.content }}{% endfor %}";
  const std::string drops =
      "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
  const std::string trims = "{% for m in messages %}{{ m.content | trim }}{% endfor %}";
  CHECK(problem(trims, " Be brief. ", "auto").ToString() == "OK");
  CHECK(problem(strict, "", "chat").ToString() == "OK");
  CHECK_THAT(std::string(problem(strict, "Be brief.", "auto").message()),
             Catch::StartsWith("tasks.t.system_prompt: the chat template takes no system message") &&
                 Catch::Contains("no role system"));
  CHECK_THAT(std::string(problem(drops, "Be brief.", "raw").message()),
             Catch::StartsWith("tasks.t.system_prompt: the chat template leaves it out"));
  CHECK_THAT(std::string(problem("{{ raise_exception('no') }}", "", "chat").message()),
             Catch::StartsWith("tasks.t.text: the chat template takes no message of a user alone"));
}

}  // namespace
}  // namespace guildhall
