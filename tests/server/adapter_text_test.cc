// The text files of an adapter's folder over the request's path: whose they are, and of which version.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <optional>

#include "server/serve_plan.h"
#include "tests/server/adapter_fixture.h"
#include "tests/server/plain_calls.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

constexpr int32_t kTurn = 121;  // a token of the adapter's folder alone: the base has 131 rows

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

// Words that are ids: "w7" is 7. `added`: with "<|turn|>".
std::string TokenizerJson(bool added) {
  std::string vocabulary, special;
  for (int id = 0; id < 120; ++id) {
    vocabulary += (id == 0 ? "\"<unk>\": 0" : ", \"w" + std::to_string(id) + "\": " + std::to_string(id));
  }
  const auto token = [](int id, const std::string& text) {
    return R"({"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true, )"
           R"("id": )" +
           std::to_string(id) + R"(, "content": ")" + text + "\"}";
  };
  special = token(120, "</s>");
  if (added) special += ", " + token(kTurn, "<|turn|>");
  return R"({"version": "1.0", "added_tokens": [)" + special +
         R"(], "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "WordLevel", "unk_token": )"
         R"("<unk>", "vocab": {)" +
         vocabulary + "}}}";
}

constexpr char kConfig[] = R"({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"})";
constexpr char kShowsAll[] = "{% for m in messages %}{{ m.content }} {% endfor %}";
constexpr char kDropsSystem[] =
    "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";

// The base's text side, and adapter folders beside which trainers left files.
struct TextWorld : AdapterWorld {
  explicit TextWorld(const char* base_template = kShowsAll) : model(folder / "model") {
    fs::copy(GUILDHALL_SOURCE_DIR "/tests/goldens/olmoe_f32", model);
    Write(model + "/tokenizer.json", TokenizerJson(false));
    Write(model + "/tokenizer_config.json", kConfig);
    Write(model + "/chat_template.jinja", base_template);
  }

  TextAssets Base() const { return LoadTextAssets(model).value(); }
  // A copy of the adapter "a".
  std::string Folder(const std::string& name, const std::string& chat_template = "") const {
    const std::string path = root + "/" + name;
    fs::copy(root + "/a", path);
    if (!chat_template.empty()) Write(path + "/chat_template.jinja", chat_template);
    return path;
  }

  std::string model;
};

v1::ChatInput Chat(const std::string& content) {
  v1::ChatInput chat;
  chat.add_messages()->set_role("user");
  chat.mutable_messages(0)->set_content(content);
  return chat;
}

v1::TokenizeResponse Tokenized(const AdapterServer& server, const v1::TokenizeRequest& request) {
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  const grpc::Status status = server.Inference()->Tokenize(&context, request, &response);
  INFO(status.error_message());
  CHECK(status.ok());
  return response;
}

std::string Rendered(const AdapterServer& server, const std::string& task) {
  v1::TokenizeRequest request;
  request.set_task(task);
  *request.mutable_chat() = Chat("w5");
  return Tokenized(server, request).text();
}

std::vector<int32_t> Ids(const AdapterServer& server, const std::string& task, const std::string& text) {
  v1::TokenizeRequest request;
  request.set_task(task);
  request.set_text(text);
  const v1::TokenizeResponse response = Tokenized(server, request);
  return {response.token_ids().begin(), response.token_ids().end()};
}

std::string Notes(const AdapterServer& server, const std::string& adapter) {
  std::string notes;
  const v1::AdapterInfo info = server.Info(adapter);
  for (const std::string& note : info.notes()) notes += note + "\n";
  return notes;
}

// Chooses kTurn, whatever the weights say.
v1::GenerateRequest TurnRequest(const std::string& task) {
  v1::GenerateRequest request = IdRequest(5, 4);
  request.set_task(task);
  (*request.mutable_sampling()->mutable_logit_bias())[kTurn] = 100.0f;
  return request;
}

absl::Status Checked(const TextWorld& world, ServerConfig config) {
  config.model.path = world.model;
  std::vector<std::string> unchecked, notes;
  return CheckServe(config, unchecked, notes);
}

v1::LoadAdapterRequest Replacement(const std::string& name, const std::string& path, uint64_t version) {
  v1::LoadAdapterRequest request;
  request.set_name(name);
  request.set_path(path);
  request.set_expected_version(version);
  return request;
}

}  // namespace

TEST_CASE("template, added tokens and end of an adapter's folder serve the tasks that have it alone") {
  const TextWorld world;
  const std::string folder = world.Folder("own", "mine {{ messages[0].content }} <|turn|>");
  Write(folder + "/tokenizer.json", TokenizerJson(true));
  Write(folder + "/tokenizer_config.json",
        R"({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|turn|>"})");
  const AdapterServer server(AdapterConfigFor(world), 0, world.Base());
  server.LoadVersion("own", "own");
  server.LoadVersion("b", "b");
  REQUIRE(server.Put("own", {{"own", 0.5f}}).ok());
  REQUIRE(server.Put("both", {{"own", 1.0f}, {"b", 1.0f}}).ok());
  CHECK_THAT(Notes(server, "own"), Contains("tokenizer: the folder's own serves") && Contains("<|turn|>") &&
                                       Contains("both end an answer") &&
                                       Contains("chat template: the folder's own serves"));
  CHECK(Rendered(server, "own") == "mine w5 <|turn|>");
  CHECK(Rendered(server, "both") == "w5 ");
  CHECK(Rendered(server, "") == "w5 ");
  CHECK(Ids(server, "own", "w7 <|turn|>") == std::vector<int32_t>{7, kTurn});
  CHECK(Ids(server, "both", "w7 <|turn|>") == std::vector<int32_t>{7, 0});
  const auto stub = server.Inference();
  // It ends the answers of the one task alone.
  const Answer ended = Ask(*stub, TurnRequest("own"));
  CHECK(ended.end.finish_reason() == v1::FINISH_REASON_STOP);
  CHECK(ended.end.stop_token_id() == kTurn);
  CHECK(ended.text.empty());
  CHECK(Ask(*stub, TurnRequest("both")).end.finish_reason() == v1::FINISH_REASON_LENGTH);
  // Answers are decoded by the tokenizer that the prompt was encoded with, and stop strings know its tokens.
  v1::GenerateRequest shown = TurnRequest("own");
  shown.mutable_sampling()->set_ignore_eos(true);
  shown.mutable_sampling()->set_skip_special_tokens(false);
  shown.mutable_logprobs()->set_chosen(true);
  const Answer answer = Ask(*stub, shown);
  CHECK_THAT(answer.text, Contains("<|turn|>"));
  CHECK(answer.logprobs.at(0).text() == "<|turn|>");
  shown.mutable_sampling()->add_stop("<|turn|>");
  CHECK(Ask(*stub, shown).end.stop_text() == "<|turn|>");
}

TEST_CASE("defaults of an adapter's generation_config.json lie between the task's own and the base's") {
  const TextWorld world;
  const std::string folder = world.Folder("own");
  Write(folder + "/generation_config.json",
        R"({"max_new_tokens": 3, "repetition_penalty": 1.5, "eos_token_id": [7, 121], "num_beams": 2})");
  const AdapterServer server(AdapterConfigFor(world), 0, world.Base());
  server.LoadVersion("own", "own");
  server.LoadVersion("a", "a");
  REQUIRE(server.Put("own", {{"own", 1.0f}}).ok());
  REQUIRE(server.Put("a", {{"a", 1.0f}}).ok());
  v1::TaskDefinition longer;
  longer.set_id("longer");
  longer.add_adapters()->set_name("own");
  longer.mutable_sampling()->set_max_tokens(5);
  REQUIRE(server.Put(longer).ok());
  const auto stub = server.Inference();
  const auto answer = [&](const std::string& task) {
    v1::GenerateRequest request = IdRequest(5, 1);
    request.set_task(task);
    request.mutable_sampling()->clear_max_tokens();
    request.mutable_sampling()->set_ignore_eos(true);
    return Ask(*stub, request).end.usage().output_tokens();
  };
  CHECK(answer("own") == 3);
  CHECK(answer("longer") == 5);
  CHECK(answer("a") > 5);
  CHECK(Ask(*stub, TurnRequest("own")).end.stop_token_id() == kTurn);
  v1::ListTasksResponse tasks;
  grpc::ClientContext context;
  REQUIRE(stub->ListTasks(&context, {}, &tasks).ok());
  for (const v1::TaskInfo& task : tasks.tasks()) {
    if (task.id() == "own") CHECK(task.defaults().max_tokens() == 3);
    if (task.id() == "longer") CHECK(task.defaults().repetition_penalty() == 1.5f);
  }
  CHECK_THAT(Notes(server, "own"), Contains("generation_config.json: its defaults serve") &&
                                       Contains("eos_token_id 7") && Contains("num_beams: not honoured"));
}

TEST_CASE("a replacement that fails keeps the text of the version that serves") {
  const TextWorld world;
  world.Folder("one", "one");
  world.Folder("two", "two");
  // It opens, and the last of its numbers is none.
  const std::string broken = world.Folder("broken", "broken") + "/adapter_model.safetensors";
  std::fstream(broken, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(-4, std::ios::end)
      .write("\xc0\x7f\xc0\x7f", 4);
  const AdapterServer server(AdapterConfigFor(world), 0, world.Base());
  const uint64_t first = server.LoadVersion("m", "one");
  REQUIRE(server.Put("t", {{"m", 1.0f}}).ok());
  CHECK(Rendered(server, "t") == "one");
  for (const char* path : {"broken", "nowhere"}) {
    CHECK_FALSE(server.Load(Replacement("m", path, first)).ok());
    CHECK(server.Info("m").version() == first);
    CHECK(Rendered(server, "t") == "one");
  }
  REQUIRE(server.Load(Replacement("m", "two", first)).ok());
  CHECK(Rendered(server, "t") == "two");
}

TEST_CASE("a request has weights and text of one version, whenever another one comes") {
  const TextWorld world;
  world.Folder("one", "w1");
  world.Folder("two", "w2 w2");
  AdapterServer server(AdapterConfigFor(world), 0, world.Base());
  uint64_t version = server.LoadVersion("m", "one");
  REQUIRE(server.Put("t", {{"m", 1.0f}}).ok());
  OpenStreams streams{2};
  GenerateCalls generate{server.server().state(), streams};
  v1::GenerateRequest request;
  request.set_task("t");
  *request.mutable_chat() = Chat("w5");
  request.mutable_sampling()->set_max_tokens(1);
  // At each of the server's looks at the deadline once.
  bool replaced = true;
  for (int look = 0; replaced; ++look) {
    const uint64_t before = version;
    Answered answered;
    int left = look;
    replaced = false;
    answered.call.on_look_ = [&] {
      if (left-- != 0) return;
      replaced = true;
      v1::AdapterInfo loaded;
      CHECK(server.Load(Replacement("m", look % 2 == 0 ? "two" : "one", version), &loaded).ok());
      version = loaded.version();
    };
    REQUIRE(answered.Run(generate, request).ok());
    const v1::GenerateEnd& end = answered.messages.back().end();
    REQUIRE(end.adapters_size() == 1);
    const bool is_new = end.adapters(0).version() != before;
    INFO("look " << look << (is_new ? ", the new version" : ", the old version"));
    CHECK(end.usage().prompt_tokens() == ((look % 2 == 0) == is_new ? 2 : 1));
    CHECK((replaced || look > 0));
  }
}

TEST_CASE("a task is judged by the template that will serve it, whoever brings it") {
  const TextWorld strict(kDropsSystem);
  strict.Folder("takes", kShowsAll);
  strict.Folder("plain");
  const auto with_system = [](const char* adapter) {
    v1::TaskDefinition task;
    task.set_id("kind");
    task.set_system_prompt("w9 w9");
    task.add_adapters()->set_name(adapter);
    return task;
  };
  const AdapterServer server(AdapterConfigFor(strict), 0, strict.Base());
  const uint64_t takes = server.LoadVersion("takes", "takes");
  server.LoadVersion("plain", "plain");
  const grpc::Status refused = server.Put(with_system("plain"));
  CHECK(refused.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(BadField(refused) == "task.system_prompt");
  CHECK(server.Put(with_system("takes")).ok());
  CHECK(Rendered(server, "kind") == "w9 w9 w5 ");
  // What would replace it is judged, too.
  const grpc::Status replaced = server.Load(Replacement("takes", "plain", takes));
  CHECK(replaced.error_code() == grpc::FAILED_PRECONDITION);
  CHECK_THAT(replaced.error_message(), Contains("kind") && Contains("system_prompt"));
  CHECK(Rendered(server, "kind") == "w9 w9 w5 ");
}

TEST_CASE("the same is said of a configuration, at start and when it is checked") {
  const TextWorld strict(kDropsSystem);
  strict.Folder("takes", kShowsAll);
  strict.Folder("plain");
  ServerConfig config = AdapterConfigFor(strict);
  config.tasks["kind"].id = "kind";
  config.tasks["kind"].system_prompt = "w9 w9";
  config.tasks["kind"].adapters = {{"m", 1.0}};
  config.adapters.preload["m"] = {"m", "takes", false, ""};
  CHECK(StartStatus(config, strict.Base()).ToString() == "OK");
  CHECK(Checked(strict, config).ToString() == "OK");
  config.adapters.preload["m"].path = "plain";
  for (const absl::Status& status : {StartStatus(config, strict.Base()), Checked(strict, config)}) {
    CHECK_THAT(std::string(status.message()), Contains("tasks.kind.system_prompt: the chat template"));
  }
}

}  // namespace guildhall
