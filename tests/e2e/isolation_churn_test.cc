// Requests of many tasks through sockets, compared to the bit with their solo answers, while adapters are
// loaded, replaced, evicted and unloaded and other clients leave in the middle.
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "tests/e2e/client.h"
#include "tests/e2e/process.h"

namespace guildhall {
namespace {

constexpr const char* kSqlFolders[] = {"lora-sql", "lora-sql-v2"};
constexpr int kWorkers = 6;

std::vector<v1::GenerateRequest> Questions() {
  std::vector<v1::GenerateRequest> questions;
  for (const auto& [task, text] : std::initializer_list<std::pair<const char*, const char*>>{
           {"numbers", "forty-two"},
           {"german", "I see a red bird."},
           {"report", "In Tokyo, the public library cancelled a summer festival last Monday."},
           {"measure", "5082 grams in kilograms"},
           {"command", "please phone Rosa, work number"},
           {"sentiment", "The parking of this bakery is awful."},
           {"sql", "How many books have price under 57?"}}) {
    questions.push_back(GreedyRequest(task, text, 24));
    v1::GenerateRequest drawn = GreedyRequest(task, text, 24);
    drawn.mutable_sampling()->set_temperature(0.9f);
    drawn.mutable_sampling()->set_seed(questions.size());
    drawn.mutable_sampling()->set_ignore_eos(true);
    drawn.mutable_speculation()->set_max_draft_tokens(4);
    questions.push_back(drawn);
  }
  return questions;
}

// All that a client may count on.
std::string BitsOf(const Answer& answer) {
  std::string bits = answer.text;
  bits.append(reinterpret_cast<const char*>(answer.tokens.data()), answer.tokens.size() * sizeof(int32_t));
  bits.append(reinterpret_cast<const char*>(answer.logprobs.data()), answer.logprobs.size() * sizeof(float));
  return bits + v1::FinishReason_Name(answer.end.finish_reason());
}

void PutSql(v1::Admin::Stub& admin) {
  v1::PutTaskRequest request;
  request.mutable_task()->set_id("sql");
  request.mutable_task()->set_system_prompt("To SQL.");
  request.mutable_task()->add_adapters()->set_name("sql");
  v1::PutTaskResponse response;
  grpc::ClientContext context;
  REQUIRE(admin.PutTask(&context, request, &response).ok());
}

// Solo answers, by question and the folder that served task "sql".
std::map<std::pair<size_t, std::string>, std::string> SoloAnswers(
    const std::vector<std::string>& settings, const std::vector<v1::GenerateRequest>& questions) {
  std::map<std::pair<size_t, std::string>, std::string> solo;
  const ServerProcess server(settings);
  const auto admin = AdminOf(server.admin_address());
  uint64_t version = 0;
  for (const std::string folder : kSqlFolders) {
    v1::AdapterInfo loaded;
    REQUIRE(Load(*admin, "sql", folder, version, &loaded).ok());
    if (version == 0) PutSql(*admin);
    version = loaded.version();
    for (size_t i = 0; i < questions.size(); ++i) {
      const Answer answer = Ask(server.address(), questions[i]);
      REQUIRE(answer.status.ok());
      solo[{i, folder}] = BitsOf(answer);
    }
  }
  return solo;
}

// The churn of one server, by threads that end with it.
class Churn {
 public:
  Churn(const ServerProcess& server, const std::vector<v1::GenerateRequest>& questions)
      : admin_(AdminOf(server.admin_address())) {
    v1::AdapterInfo loaded;
    REQUIRE(Load(*admin_, "sql", kSqlFolders[0], 0, &loaded).ok());
    folders_[loaded.version()] = kSqlFolders[0];
    PutSql(*admin_);
    replacer_ = std::jthread([this, first = loaded.version()] { Replace(first); });
    loader_ = std::jthread([this] { LoadOthers(); });
    leaver_ = std::jthread([this, address = server.address(), &questions] { Leave(address, questions); });
  }
  ~Churn() { stop_ = true; }

  // Which folder that version of "sql" was; a reader may know it a moment before whoever loaded it.
  std::string FolderOf(uint64_t version) {
    for (int tries = 0; tries < 500; ++tries, absl::SleepFor(absl::Milliseconds(10))) {
      const std::lock_guard lock(mutex_);
      if (folders_.contains(version)) return folders_.at(version);
    }
    return "";
  }
  int changes() const { return changes_; }

 private:
  void Replace(uint64_t version) {
    for (int i = 1; !stop_; ++i) {
      v1::AdapterInfo loaded;
      if (!Load(*admin_, "sql", kSqlFolders[i % 2], version, &loaded).ok()) continue;
      version = loaded.version();
      ++changes_;
      const std::lock_guard lock(mutex_);
      folders_[version] = kSqlFolders[i % 2];
    }
  }
  void LoadOthers() {
    for (int i = 0; !stop_; ++i) {
      const std::string name = "x" + std::to_string(i % 3);
      if (Load(*admin_, name, i % 2 == 0 ? "esft-report" : "lora-report", 0).ok()) ++changes_;
      if (i % 3 == 2) Unload(*admin_, "x0");
      if (i % 5 == 4) Unload(*admin_, "x1");
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  void Leave(const std::string& address, const std::vector<v1::GenerateRequest>& questions) {
    const auto stub =
        v1::Inference::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    for (size_t i = 0; !stop_; ++i) {
      v1::GenerateRequest request = questions[i % questions.size()];
      request.mutable_sampling()->set_max_tokens(200);
      request.mutable_sampling()->set_ignore_eos(true);
      grpc::ClientContext context;
      const auto reader = stub->Generate(&context, request);
      v1::GenerateResponse response;
      for (size_t k = 0; k < i % 6; ++k) reader->Read(&response);
      context.TryCancel();
      reader->Finish();
    }
  }

  const std::unique_ptr<v1::Admin::Stub> admin_;
  std::mutex mutex_;
  std::map<uint64_t, std::string> folders_;  // of "sql", by version
  std::atomic<bool> stop_ = false;
  std::atomic<int> changes_ = 0;
  std::jthread replacer_, loader_, leaver_;
};

struct Counts {
  std::atomic<int> equal = 0, wrong = 0, failed = 0;
};

void AskAtRandom(const ServerProcess& server, const std::vector<v1::GenerateRequest>& questions,
                 const std::map<std::pair<size_t, std::string>, std::string>& solo, int requests,
                 Churn& churn, uint32_t seed, Counts& counts) {
  std::mt19937 random(seed);
  for (int i = 0; i < requests; ++i) {
    const size_t n = random() % questions.size();
    const Answer answer = Ask(server.address(), questions[n]);
    if (!answer.status.ok()) {
      ++counts.failed;
      continue;
    }
    const bool sql = questions[n].task() == "sql";
    const std::string folder = sql ? churn.FolderOf(answer.end.adapters(0).version()) : kSqlFolders[0];
    ++(solo.contains({n, folder}) && solo.at({n, folder}) == BitsOf(answer) ? counts.equal : counts.wrong);
  }
}

void CheckIsolation(std::vector<std::string> settings, int requests) {
  const std::vector<v1::GenerateRequest> questions = Questions();
  const auto solo = SoloAnswers(settings, questions);
  settings.push_back("memory.kv=8MiB");  // adapters must make room for each other
  const ServerProcess server(settings);
  Counts counts;
  {
    Churn churn(server, questions);
    std::vector<std::jthread> workers;
    for (uint32_t w = 0; w < kWorkers; ++w) {
      workers.emplace_back(
          [&, w] { AskAtRandom(server, questions, solo, requests / kWorkers, churn, w, counts); });
    }
    workers.clear();
    CHECK(churn.changes() >= 3);
  }
  CHECK(counts.equal == requests / kWorkers * kWorkers);
  CHECK(counts.wrong == 0);
  CHECK(counts.failed == 0);
}

}  // namespace

TEST_CASE("under churn every answer equals its solo run to the bit", "[cpu]") {
  CheckIsolation({}, 120);
}

TEST_CASE("also with keys and values of 8 bits and quantized weights", "[cpu]") {
  CheckIsolation({"memory.kv_dtype=int8", "weights.experts=int4", "weights.shared_experts=int8",
                  "weights.dense=int8", "weights.attention=int8", "weights.head=int8"},
                 120);
}

}  // namespace guildhall
