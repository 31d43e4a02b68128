// Every field of a request has an effect. The walk over the messages finds those that nobody thought of.
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "tests/server/effects.h"

namespace guildhall {
namespace {

// A template that shows all that it is given.
ServerConfig Config() {
  ServerConfig config = TestConfig();
  TaskConfig shows;
  shows.id = "shows";
  shows.chat_template =
      "{% for m in messages %}{{ m | tojson }}{% endfor %}{{ tools | tojson if tools else '' }}"
      "{{ add_generation_prompt }}{{ colour }}";
  config.tasks["shows"] = shows;
  return config;
}

class Effects {
 public:
  Effects() : server_(EffectModel(), Config()), stub_(server_.Inference()) {
    for (const SamplingEffect& effect : SamplingEffects()) {
      Add("sampling." + effect.name, effect.base,
          [set = effect.set](auto& request) { set(*request.mutable_sampling()); });
    }
    AddOthers(), AddChat();
  }

  const std::map<std::string, std::function<bool()>>& all() const { return all_; }

 private:
  using Change = std::function<void(v1::GenerateRequest&)>;

  // `base` without the field, and with it.
  void Add(const std::string& path, v1::GenerateRequest base, Change set) {
    all_[path] = [this, base = std::move(base), set = std::move(set)] {
      v1::GenerateRequest with = base;
      set(with);
      return Seen(*stub_, base) != Seen(*stub_, with);
    };
  }
  void AddOthers() {
    const auto greedy = IdRequest(kRepeats, 8);
    Add("task", greedy, [](auto& r) { r.set_task("plain"); });
    Add("text", greedy, [](auto& r) { r.set_text("hello you"); });
    Add("token_ids.ids", greedy, [](auto& r) { r.mutable_token_ids()->add_ids(9); });
    Add("logprobs.chosen", greedy, [](auto& r) { r.mutable_logprobs()->set_chosen(true); });
    Add("logprobs.top", greedy, [](auto& r) { r.mutable_logprobs()->set_top(2); });
    Add("logprobs.prompt", greedy, [](auto& r) { r.mutable_logprobs()->set_prompt(true); });
    Add("time_limit", IdRequest(kRepeats, 4000), [](auto& r) { r.mutable_time_limit()->set_nanos(1); });
    // The second of two equal prompts finds the first one's keys, unless its salt is another.
    v1::GenerateRequest prompt = IdRequest(kRepeats, 1);
    for (int i = 0; i < 200; ++i) prompt.mutable_token_ids()->add_ids(i % 7 + 10);
    all_["cache_salt"] = [this, prompt] {
      v1::GenerateRequest salted = prompt;
      salted.set_cache_salt("mine");
      Ask(*stub_, prompt);
      return Ask(*stub_, prompt).end.usage().cached_tokens() > 0 &&
             Ask(*stub_, salted).end.usage().cached_tokens() == 0;
    };
    v1::GenerateRequest repeating = IdRequest(kRepeats, 64);
    for (int i = 0; i < 8; ++i) repeating.mutable_token_ids()->add_ids(kRepeats);
    Add("speculation.max_draft_tokens", repeating,
        [](auto& r) { r.mutable_speculation()->set_max_draft_tokens(4); });
    repeating.mutable_speculation()->set_max_draft_tokens(4);
    Add("speculation.min_ngram", repeating, [](auto& r) {
      r.mutable_speculation()->set_min_ngram(64);
      r.mutable_speculation()->set_max_ngram(64);
    });
    // The answer begins with 6, 70: "5 6" says so, the last place of "6" alone does not.
    v1::GenerateRequest two = IdRequest(kLooksUp, 2);
    for (const int32_t id : {5, 6, 70, 8, 6, 71, 5}) two.mutable_token_ids()->add_ids(id);
    two.mutable_speculation()->set_max_draft_tokens(1);
    two.mutable_speculation()->set_min_ngram(1);
    two.mutable_sampling()->set_max_tokens(3);
    Add("speculation.max_ngram", two, [](auto& r) { r.mutable_speculation()->set_max_ngram(1); });
  }

  std::string Rendered(const v1::ChatInput& chat) {
    v1::TokenizeRequest request;
    request.set_task("shows");
    *request.mutable_chat() = chat;
    v1::TokenizeResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub_->Tokenize(&context, request, &response);
    INFO(status.error_message());
    CHECK(status.ok());
    return response.text();
  }

  void AddChat(const std::string& path, const std::function<void(v1::ChatInput&)>& set) {
    all_["chat." + path] = [this, set] {
      v1::ChatInput base;
      base.add_messages()->set_role("user");
      base.mutable_messages(0)->set_content("hello");
      v1::ToolCall& call = *base.mutable_messages(0)->add_tool_calls();
      call.set_name("f");
      v1::ChatInput with = base;
      set(with);
      return Rendered(base) != Rendered(with);
    };
  }

  void AddChat() {
    AddChat("messages.role", [](auto& c) { c.mutable_messages(0)->set_role("tool"); });
    AddChat("messages.content", [](auto& c) { c.mutable_messages(0)->set_content("other"); });
    AddChat("messages.name", [](auto& c) { c.mutable_messages(0)->set_name("Ann"); });
    AddChat("messages.tool_call_id", [](auto& c) { c.mutable_messages(0)->set_tool_call_id("7"); });
    AddChat("messages.content_json", [](auto& c) {
      c.mutable_messages(0)->clear_content();
      c.mutable_messages(0)->set_content_json(R"([{"type": "text", "text": "parts"}])");
    });
    AddChat("messages.reasoning", [](auto& c) { c.mutable_messages(0)->set_reasoning("since"); });
    AddChat("messages.more_json", [](auto& c) { c.mutable_messages(0)->set_more_json(R"({"weight": 0})"); });
    const auto call = [](v1::ChatInput& c) -> v1::ToolCall& {
      return *c.mutable_messages(0)->mutable_tool_calls(0);
    };
    AddChat("messages.tool_calls.id", [call](auto& c) { call(c).set_id("8"); });
    AddChat("messages.tool_calls.name", [call](auto& c) { call(c).set_name("g"); });
    AddChat("messages.tool_calls.arguments_json",
            [call](auto& c) { call(c).set_arguments_json(R"({"x": 1})"); });
    AddChat("tools_json", [](auto& c) { c.set_tools_json(R"([{"name": "f"}])"); });
    AddChat("add_generation_prompt", [](auto& c) { c.set_add_generation_prompt(false); });
    AddChat("template_variables_json",
            [](auto& c) { c.set_template_variables_json(R"({"colour": "red"})"); });
  }

  TestServer server_;
  std::unique_ptr<v1::Inference::Stub> stub_;
  std::map<std::string, std::function<bool()>> all_;
};

}  // namespace

TEST_CASE("every field of a request has an effect") {
  const Effects effects;
  std::set<std::string> paths;
  WalkFields(*v1::GenerateRequest::descriptor(), "", paths);
  for (const std::string& path : paths) {
    INFO(path << ": a field that nothing shows to have an effect");
    CHECK(effects.all().contains(path));
  }
  for (const auto& [path, has_effect] : effects.all()) {
    INFO(path << ": set, and nothing changed");
    CHECK(paths.contains(path));
    CHECK(has_effect());
  }
}

}  // namespace guildhall
