// Every field of a task has an effect or is refused, and so has every key that the configuration has for one.
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "config/keys.h"
#include "tests/server/adapter_fixture.h"
#include "tests/server/effects.h"

namespace guildhall {
namespace {

template <typename Server>
grpc::Status Put(const Server& server, const v1::TaskDefinition& task) {
  grpc::ClientContext context;
  v1::PutTaskRequest request;
  *request.mutable_task() = task;
  v1::PutTaskResponse response;
  return server.Admin()->PutTask(&context, request, &response);
}

v1::TaskDefinition Plain() {
  v1::TaskDefinition task;
  task.set_id("t");
  return task;
}

class TaskEffects {
 public:
  TaskEffects() : server_(EffectModel()), stub_(server_.Inference()), adapters_(AdapterConfigFor(world_)) {
    adapters_.LoadVersion("a", "a");
    for (const SamplingEffect& effect : SamplingEffects()) AddSampling(effect);
    AddText(), AddPolicy(), AddSpeculation(), AddAdapters();
  }

  const std::map<std::string, std::function<bool()>>& all() const { return all_; }

 private:
  using Change = std::function<void(v1::TaskDefinition&)>;

  // What a client sees of the task with the field, against one without.
  void Add(const std::string& path, const v1::TaskDefinition& base, const Change& set,
           const std::function<std::string()>& seen) {
    all_[path] = [this, base, set, seen] {
      v1::TaskDefinition with = base;
      set(with);
      CHECK(Put(server_, base).ok());
      const std::string before = seen();
      const grpc::Status put = Put(server_, with);
      INFO(put.error_message());
      CHECK(put.ok());
      return before != seen();
    };
  }

  void AddSampling(const SamplingEffect& effect) {
    const std::string path = "sampling." + effect.name;
    v1::GenerateRequest request = effect.base;
    request.set_task("t");
    request.clear_sampling();
    if (effect.base.sampling().has_seed()) request.mutable_sampling()->set_seed(1);
    v1::TaskDefinition base = Plain();
    *base.mutable_sampling() = effect.base.sampling();
    base.mutable_sampling()->clear_seed();
    const auto set = [set = effect.set](v1::TaskDefinition& task) { set(*task.mutable_sampling()); };
    if (effect.name == "seed" || effect.name == "logit_bias") {
      all_[path] = [this, base, set, path] {
        v1::TaskDefinition with = base;
        set(with);
        return BadField(Put(server_, with)) == "task." + path;
      };
      return;
    }
    Add(path, base, set, [this, request] { return Seen(*stub_, request); });
  }

  std::string Tokenized(bool chat) {
    v1::TokenizeRequest request;
    request.set_task("t");
    if (chat) {
      request.mutable_chat()->add_messages()->set_role("user");
      request.mutable_chat()->mutable_messages(0)->set_content("hello");
    } else {
      request.set_text("hello");
    }
    v1::TokenizeResponse response;
    grpc::ClientContext context;
    CHECK(stub_->Tokenize(&context, request, &response).ok());
    return response.text();
  }

  void AddText() {
    const auto chat = [this] { return Tokenized(true); };
    Add(
        "id", Plain(), [](auto& t) { t.set_id("other"); },
        [this] {
          v1::GenerateRequest request = IdRequest(kRepeats, 1);
          request.set_task("other");
          return Seen(*stub_, request);
        });
    Add(
        "chat_template", Plain(), [](auto& t) { t.set_chat_template("mine"); }, chat);
    Add(
        "system_prompt", Plain(), [](auto& t) { t.set_system_prompt("Be brief."); }, chat);
    Add(
        "text", Plain(), [](auto& t) { t.set_text("chat"); }, [this] { return Tokenized(false); });
    Add(
        "description", Plain(), [](auto& t) { t.set_description("for people"); },
        [this] {
          v1::ListTasksResponse tasks;
          grpc::ClientContext context;
          CHECK(stub_->ListTasks(&context, {}, &tasks).ok());
          return tasks.DebugString();
        });
  }

  // As the engine has them; tests of the engine show what it makes of them.
  void AddPolicy() {
    const auto status = [this] {
      const v1::GetStatusResponse all = server_.Status();
      for (const auto& task : all.tasks()) {
        if (task.id() == "t") return task.DebugString();
      }
      return std::string();
    };
    Add(
        "weight", Plain(), [](auto& t) { t.set_weight(3.0); }, status);
    Add(
        "max_queued", Plain(), [](auto& t) { t.set_max_queued(3); }, status);
    Add(
        "max_running", Plain(), [](auto& t) { t.set_max_running(3); }, status);
  }

  void AddSpeculation() {
    v1::GenerateRequest repeating = IdRequest(kRepeats, 64);
    repeating.set_task("t");
    for (int i = 0; i < 8; ++i) repeating.mutable_token_ids()->add_ids(kRepeats);
    const auto seen = [this, repeating] { return Seen(*stub_, repeating); };
    v1::TaskDefinition base = Plain();
    Add(
        "speculation.max_draft_tokens", base,
        [](auto& t) { t.mutable_speculation()->set_max_draft_tokens(4); }, seen);
    base.mutable_speculation()->set_max_draft_tokens(4);
    base.mutable_speculation()->set_max_ngram(64);
    Add(
        "speculation.min_ngram", base, [](auto& t) { t.mutable_speculation()->set_min_ngram(64); }, seen);
    v1::GenerateRequest two = IdRequest(kLooksUp, 3);
    two.set_task("t");
    for (const int32_t id : {5, 6, 70, 8, 6, 71, 5}) two.mutable_token_ids()->add_ids(id);
    base = Plain();
    base.mutable_speculation()->set_max_draft_tokens(1);
    base.mutable_speculation()->set_min_ngram(1);
    Add(
        "speculation.max_ngram", base, [](auto& t) { t.mutable_speculation()->set_max_ngram(1); },
        [this, two] { return Seen(*stub_, two); });
  }

  // Log-probabilities of a model that has adapters.
  std::string Scored(const v1::TaskDefinition& task) {
    CHECK(Put(adapters_, task).ok());
    const Answer answer = Ask(*adapters_.Inference(), ScoreRequest("t", {1, 2, 3}));
    CHECK(answer.status.ok());
    std::string text;
    for (const v1::Logprob& logprob : answer.prompt) text += logprob.DebugString();
    return text;
  }

  void AddAdapters() {
    v1::TaskDefinition whole = Plain();
    whole.add_adapters()->set_name("a");
    v1::TaskDefinition half = whole;
    half.mutable_adapters(0)->set_scale(0.5f);
    all_["adapters.name"] = [this, whole] { return Scored(Plain()) != Scored(whole); };
    all_["adapters.scale"] = [this, whole, half] { return Scored(whole) != Scored(half); };
  }

  AdapterWorld world_;
  TestServer server_;
  std::unique_ptr<v1::Inference::Stub> stub_;
  AdapterServer adapters_;
  std::map<std::string, std::function<bool()>> all_;
};

// The field of a key: what a configuration says of a task is what PutTask says, but for these.
std::string FieldOf(const std::string& key) {
  if (key == "adapters") return "adapters.name";
  if (key == "sampling.bad_words_ids") return "sampling.bad_words_ids.ids";
  if (key == "chat_template_file") return "chat_template";  // and the test below
  return key;
}

}  // namespace

TEST_CASE("every field of a task has an effect or is refused, and so has every key of tasks") {
  const TaskEffects effects;
  std::set<std::string> paths;
  WalkFields(*v1::TaskDefinition::descriptor(), "", paths);
  for (const std::string& path : paths) {
    INFO(path << ": a field that nothing shows to have an effect");
    CHECK(effects.all().contains(path));
  }
  for (const auto& key : TaskKeys()) {
    INFO("tasks.ID." << key.path << ": a key that nothing shows to have an effect");
    CHECK(effects.all().contains(FieldOf(key.path)));
  }
  for (const auto& [path, has_effect] : effects.all()) {
    INFO(path << ": set, and nothing changed");
    CHECK(paths.contains(path));
    CHECK(has_effect());
  }
}

TEST_CASE("the template of a configured task may be a file: chat_template_file") {
  const TempFolder folder;
  std::ofstream(folder / "mine.jinja") << "mine {{ messages[0].content }}";
  ServerConfig config = TestConfig();
  config.tasks["plain"].chat_template_file = folder / "mine.jinja";
  const TestServer server({}, config);
  v1::TokenizeRequest request;
  request.set_task("plain");
  request.mutable_chat()->add_messages()->set_role("user");
  request.mutable_chat()->mutable_messages(0)->set_content("hello");
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  REQUIRE(server.Inference()->Tokenize(&context, request, &response).ok());
  CHECK(response.text() == "mine hello");
}

}  // namespace guildhall
