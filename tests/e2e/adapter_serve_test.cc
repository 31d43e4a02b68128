// The demo's adapters in the running server: loaded, replaced, evicted and restored while others are
// answered.
#include <catch2/catch.hpp>
#include <thread>

#include "base/json.h"
#include "base/mapped_file.h"
#include "tests/e2e/client.h"
#include "tests/e2e/process.h"
#include "tests/support/compare.h"

namespace guildhall {
namespace {

const char* const kQuestion = "How many books have price under 57?";

void CheckSame(const Answer& found, const Answer& expected) {
  REQUIRE(found.status.ok());
  CHECK(found.tokens == expected.tokens);
  CHECK(SameBits(found.logprobs, expected.logprobs));
}

void PutSql(v1::Admin::Stub& admin) {
  v1::PutTaskRequest request;
  request.mutable_task()->set_id("sql");
  request.mutable_task()->set_system_prompt("As SQL.");
  request.mutable_task()->add_adapters()->set_name("sql");
  v1::PutTaskResponse response;
  grpc::ClientContext context;
  REQUIRE(admin.PutTask(&context, request, &response).ok());
}

std::vector<v1::GenerateRequest> MixedRequests() {
  std::vector<v1::GenerateRequest> requests;
  for (const Example& example : HeldOutExamples(3)) {
    if (example.task != "sql" && example.task != "roman")
      requests.push_back(GreedyRequest(example.task, example.prompt));
  }
  requests.push_back(
      GreedyRequest("report", "In Tokyo, the public library cancelled a summer festival last Monday."));
  requests.push_back(GreedyRequest("measure", "5082 grams in kilograms"));
  requests.push_back(GreedyRequest("command", "please phone Rosa, work number"));
  requests.push_back(GreedyRequest("sentiment", "The parking of this bakery is awful."));
  return requests;
}

std::string TierOf(v1::Admin::Stub& admin, const std::string& name) {
  grpc::ClientContext context;
  v1::ListAdaptersResponse response;
  REQUIRE(admin.ListAdapters(&context, {}, &response).ok());
  CHECK(response.budget().adapters() + response.budget().kv_cache() <= response.budget().total());
  for (const v1::AdapterInfo& adapter : response.adapters()) {
    if (adapter.name() == name) return v1::AdapterInfo::Tier_Name(adapter.tier());
  }
  return "";
}

}  // namespace

TEST_CASE("adapters that come, change and go beside requests change no bit of them", "[long]") {
  const ServerProcess server;
  const auto admin = AdminOf(server.admin_address());
  const std::vector<v1::GenerateRequest> requests = MixedRequests();
  std::vector<Answer> alone;
  for (const v1::GenerateRequest& request : requests) {
    alone.push_back(Ask(server.address(), request));
    INFO(request.task());
    REQUIRE(alone.back().status.ok());
  }
  std::atomic<bool> stop{false};
  int changes = 0;
  std::jthread churn([&] {
    uint64_t version = 0;
    for (int i = 0; !stop; ++i) {
      v1::AdapterInfo loaded;
      if (Load(*admin, "sql", i % 2 == 0 ? "lora-sql" : "lora-sql-v2", version, &loaded).ok()) {
        version = loaded.version();
        ++changes;
      }
      if (i % 3 == 2 && Unload(*admin, "sql").ok()) version = 0, ++changes;
    }
  });
  for (int round = 0; round < 3; ++round) {
    const std::vector<Answer> together = AskTogether(server.address(), requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      INFO("round " << round << ", " << requests[i].task() << ": " << requests[i].text());
      CheckSame(together[i], alone[i]);
    }
  }
  stop = true;
  churn.join();
  CHECK(changes >= 3);
  // Base rows are those of a server that never saw an adapter.
  const ServerProcess bare({"adapters.preload={}", "tasks.report.adapters=[]", "tasks.measure.adapters=[]",
                            "tasks.command.adapters=[]", "tasks.sentiment.adapters=[]"});
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!alone[i].end.adapters().empty()) continue;
    INFO(requests[i].task() << ": " << requests[i].text());
    CheckSame(Ask(bare.address(), requests[i]), alone[i]);
  }
}

TEST_CASE("prefixes are found again, but never across salts, versions or a reload under the same name",
          "[long]") {
  const ServerProcess server;
  const auto admin = AdminOf(server.admin_address());
  v1::AdapterInfo first;
  REQUIRE(Load(*admin, "sql", "lora-sql", 0, &first).ok());
  PutSql(*admin);
  v1::GenerateRequest request = GreedyRequest("sql", kQuestion);
  request.set_text(std::string(kQuestion) + " Show them all, and then show all of them once more, please.");
  const Answer fresh = Ask(server.address(), request);
  REQUIRE(fresh.status.ok());
  CHECK(fresh.end.usage().cached_tokens() == 0);
  REQUIRE(fresh.end.adapters_size() == 1);
  CHECK(fresh.end.adapters(0).version() == first.version());
  const Answer hit = Ask(server.address(), request);
  CHECK(hit.end.usage().cached_tokens() >= 16);
  CheckSame(hit, fresh);
  request.set_cache_salt("tenant");
  const Answer salted = Ask(server.address(), request);
  CHECK(salted.end.usage().cached_tokens() == 0);
  CheckSame(salted, fresh);
  CHECK(Ask(server.address(), request).end.usage().cached_tokens() >= 16);
  request.clear_cache_salt();

  // Another version, and then the first folder again under the same name.
  CHECK(Load(*admin, "sql", "lora-sql-v2", first.version() + 100).error_code() == grpc::StatusCode::ABORTED);
  CHECK(Load(*admin, "sql", "lora-sql-v2", 0).error_code() == grpc::StatusCode::ALREADY_EXISTS);
  v1::AdapterInfo second, third;
  REQUIRE(Load(*admin, "sql", "lora-sql-v2", first.version(), &second).ok());
  const Answer replaced = Ask(server.address(), request);
  CHECK(replaced.end.usage().cached_tokens() == 0);
  CHECK_FALSE(SameBits(replaced.logprobs, fresh.logprobs));
  REQUIRE(Load(*admin, "sql", "lora-sql", second.version(), &third).ok());
  const Answer again = Ask(server.address(), request);
  CHECK(again.end.usage().cached_tokens() == 0);
  CheckSame(again, fresh);
}

TEST_CASE("an adapter that was evicted under a small budget comes back for its task with the same bits",
          "[long]") {
  // Room for some of the adapters beside the smallest KV cache, not for all.
  const ServerProcess server({"memory.kv=3MiB", "engine.max_running=4"});
  const auto admin = AdminOf(server.admin_address());
  const std::vector<v1::GenerateRequest> requests = MixedRequests();
  std::vector<Answer> first;
  for (const v1::GenerateRequest& request : requests) first.push_back(Ask(server.address(), request));
  bool evicted = false;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < requests.size(); ++i) {
      INFO(requests[i].task() << ": " << first[i].status.error_message());
      CheckSame(Ask(server.address(), requests[i]), first[i]);
      for (const char* name : {"lora-report-experts", "esft-measure", "esft-command", "lora-sentiment"})
        evicted |= TierOf(*admin, name) == "TIER_DISK";
    }
  }
  CHECK(evicted);
}

TEST_CASE("a refused load names the cure and leaves the server, the name and the version before as they were",
          "[long]") {
  const ServerProcess server;
  const auto admin = AdminOf(server.admin_address());
  const Answer before = Ask(server.address(), GreedyRequest("measure", "5082 grams in kilograms"));
  for (const char* path : {"../model", "/etc", "nothing-here", "esft-measure/../lora-sql", ""}) {
    INFO(path);
    const grpc::Status status = Load(*admin, "new", path, 0);
    CHECK_FALSE(status.ok());
    CHECK(status.error_message().find(GUILDHALL_SOURCE_DIR) == std::string::npos);
    CHECK(TierOf(*admin, "new").empty());
  }
  REQUIRE(Load(*admin, "new", "lora-sql", 0).ok());
  CheckSame(Ask(server.address(), GreedyRequest("measure", "5082 grams in kilograms")), before);
}

}  // namespace guildhall
