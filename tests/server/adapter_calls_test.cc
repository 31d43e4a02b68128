// Adapters over real sockets: what is loaded is what serves, and every refusal has its code, its detail and
// its reason.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <thread>

#include "absl/time/clock.h"
#include "tests/server/adapter_fixture.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

// log softmax of a row at `token`, in double.
double LogProbability(const float* logits, int64_t vocabulary, int32_t token) {
  double top = -1e300, sum = 0.0;
  for (int64_t i = 0; i < vocabulary; ++i) top = std::max(top, static_cast<double>(logits[i]));
  for (int64_t i = 0; i < vocabulary; ++i) sum += std::exp(static_cast<double>(logits[i]) - top);
  return static_cast<double>(logits[token]) - top - std::log(sum);
}

// The largest distance of a prompt's log-probabilities from the golden's.
double Distance(const AdapterServer& server, const std::string& task, const AdapterGolden::Sequence& golden) {
  const Answer answer = Ask(*server.Inference(), ScoreRequest(task, golden.tokens));
  INFO(answer.status.error_message());
  REQUIRE(answer.status.ok());
  REQUIRE(answer.prompt.size() == golden.tokens.size());
  const int64_t vocabulary = golden.logits.shape[1];
  double distance = 0.0;
  for (size_t i = 1; i < golden.tokens.size(); ++i) {
    const double expected = LogProbability(&golden.logits.values[(i - 1) * static_cast<size_t>(vocabulary)],
                                           vocabulary, golden.tokens[i]);
    distance = std::max(distance, std::abs(expected - static_cast<double>(answer.prompt[i].logprob())));
  }
  return distance;
}

v1::LoadAdapterRequest LoadRequestOf(const std::string& name, const std::string& path) {
  v1::LoadAdapterRequest request;
  request.set_name(name);
  request.set_path(path);
  return request;
}

std::string Resource(const grpc::Status& status) {
  return Detail<google::rpc::ResourceInfo>(status).resource_name();
}

std::string Violation(const grpc::Status& status) {
  const auto detail = Detail<google::rpc::PreconditionFailure>(status);
  return detail.violations_size() == 0 ? "" : detail.violations(0).type();
}

// Of the adapter alone.
uint64_t MappedBytes(const ServerConfig& config, const std::string& path) {
  const AdapterServer server(config);
  server.LoadVersion("x", path);
  return server.Info("x").mapped_bytes();
}

// What the budget has with it: what its steps need, too.
uint64_t BudgetBytes(const ServerConfig& config, const std::string& path) {
  const AdapterServer server(config);
  server.LoadVersion("x", path);
  return server.List().budget().adapters();
}

// For a or for b, not for both.
uint64_t RoomForOne(const ServerConfig& config) {
  const uint64_t a = BudgetBytes(config, "a"), b = BudgetBytes(config, "b");
  const uint64_t room = std::max(a, b) + 4096;
  REQUIRE(room < a + b);
  return room;
}

}  // namespace

TEST_CASE("tasks put at run time serve what transformers and PEFT compute for their adapters") {
  const AdapterWorld world;
  const AdapterServer server(AdapterConfigFor(world));
  for (const char* name : {"e", "a", "b"}) server.LoadVersion(name, name);
  const AdapterGolden golden = LoadAdapterGolden("mixed_olmoe");
  int compared = 0;
  for (const AdapterGolden::Sequence& sequence : golden.sequences) {
    std::vector<std::pair<std::string, float>> uses;
    for (const auto& use : sequence.adapters) uses.emplace_back(use.name, use.scale);
    const std::string task = uses.empty() ? "" : "task" + std::to_string(++compared);
    if (!uses.empty()) REQUIRE(server.Put(task, uses).ok());
    CHECK(Distance(server, task, sequence) < 1e-3);
    // The adapters do change something: the base is far from it.
    if (!uses.empty()) CHECK(Distance(server, "", sequence) > 0.05);
  }
  CHECK(compared >= 8);
  // Tasks that were put are listed with what serves them.
  grpc::ClientContext context;
  v1::ListTasksResponse tasks;
  REQUIRE(server.Inference()->ListTasks(&context, {}, &tasks).ok());
  REQUIRE(tasks.tasks_size() == compared + 1);
  CHECK(tasks.tasks(0).adapters_size() == 0);
  CHECK(tasks.tasks(1).adapters(0).name() == "e");
}

TEST_CASE(
    "a load tells its progress, then what it is, the list is the truth, the answer names the versions") {
  const AdapterWorld world;
  AdapterServer server(AdapterConfigFor(world));
  server.gate().Close();
  v1::AdapterInfo meanwhile;
  std::jthread opener([&] {
    server.gate().AwaitVisitor();
    meanwhile = server.Info("math");
    server.gate().Open();
  });
  v1::LoadAdapterRequest request = LoadRequestOf("math", "e");
  request.set_pin(true);
  v1::AdapterInfo loaded;
  const grpc::Status load = server.Load(request, &loaded);
  opener.join();
  REQUIRE(load.ok());
  CHECK(meanwhile.state() == v1::AdapterInfo::STATE_LOADING);
  CHECK(loaded.kind() == "esft");
  CHECK(loaded.version() > 0);
  CHECK(loaded.path() == "e");
  CHECK(loaded.pinned());
  CHECK(loaded.experts() > 0);
  CHECK(loaded.tensor_bytes() > 0);

  REQUIRE(server.Put("sums", {{"math", 1.0f}}).ok());
  const Answer answer = Ask(*server.Inference(), ScoreRequest("sums", {1, 2, 3}));
  REQUIRE(answer.status.ok());
  REQUIRE(answer.end.adapters_size() == 1);
  CHECK(answer.end.adapters(0).name() == "math");
  CHECK(answer.end.adapters(0).version() == loaded.version());
  CHECK(Ask(*server.Inference(), ScoreRequest("", {1, 2, 3})).end.adapters_size() == 0);

  const v1::ListAdaptersResponse list = server.List();
  REQUIRE(list.adapters_size() == 1);
  const v1::AdapterInfo& info = list.adapters(0);
  CHECK(info.state() == v1::AdapterInfo::STATE_READY);
  CHECK(info.tier() == v1::AdapterInfo::TIER_RESIDENT);
  CHECK(info.readers() == 0);
  REQUIRE(info.tasks_size() == 1);
  CHECK(info.tasks(0) == "sums");
  CHECK(info.has_last_used());
  CHECK(list.budget().adapters() >= info.mapped_bytes());
  CHECK(list.budget().pinned() == info.mapped_bytes());
  CHECK(list.budget().total() == 64u << 20);
  // The status says the same.
  grpc::ClientContext context;
  v1::GetStatusResponse status;
  REQUIRE(server.Admin()->GetStatus(&context, {}, &status).ok());
  CHECK(status.adapters_size() == 1);
  CHECK(status.budget().total() == list.budget().total());
  // Adapters and KV blocks share the memory: there can be more blocks than have some now.
  CHECK(status.engine().kv_blocks() > 0);
  CHECK(status.engine().kv_blocks_most() > status.engine().kv_blocks());
}

TEST_CASE("a version is replaced by whoever knows it, and a running request keeps what it began with") {
  const AdapterWorld world;
  AdapterServer server(AdapterConfigFor(world));
  const uint64_t first = server.LoadVersion("x", "a");
  REQUIRE(server.Put("t", {{"x", 1.0f}}).ok());
  const grpc::Status taken = server.Load("x", "b");
  CHECK(taken.error_code() == grpc::ALREADY_EXISTS);
  CHECK(Resource(taken) == "x");

  v1::GenerateRequest endless = ScoreRequest("t", {1, 2, 3});
  endless.mutable_sampling()->set_max_tokens(400);
  endless.mutable_sampling()->set_ignore_eos(true);
  auto stub = server.Inference();
  grpc::ClientContext context;
  auto reader = stub->Generate(&context, endless);
  v1::GenerateResponse response;
  REQUIRE(reader->Read(&response));

  v1::LoadAdapterRequest request = LoadRequestOf("x", "b");
  request.set_expected_version(first + 100);
  const grpc::Status other = server.Load(request);
  CHECK(other.error_code() == grpc::ABORTED);
  CHECK_THAT(other.error_message(), Catch::Contains("x"));
  request.set_expected_version(first);
  v1::AdapterInfo loaded;
  REQUIRE(server.Load(request, &loaded).ok());
  CHECK(loaded.version() > first);

  v1::GenerateEnd end;
  while (reader->Read(&response)) {
    if (response.has_end()) end = response.end();
  }
  REQUIRE(reader->Finish().ok());
  REQUIRE(end.adapters_size() == 1);
  CHECK(end.adapters(0).version() == first);
  CHECK(Ask(*server.Inference(), ScoreRequest("t", {1, 2, 3})).end.adapters(0).version() == loaded.version());
}

TEST_CASE("an unload is refused while tasks use the adapter, and gives the memory back afterwards") {
  const AdapterWorld world;
  const AdapterServer server(AdapterConfigFor(world));
  server.LoadVersion("x", "e");
  REQUIRE(server.Put("one", {{"x", 1.0f}}).ok());
  REQUIRE(server.Put("two", {{"x", 1.0f}}).ok());
  const grpc::Status used = server.Unload("x");
  CHECK(used.error_code() == grpc::FAILED_PRECONDITION);
  CHECK(Violation(used) == "ADAPTER_IN_USE");
  CHECK_THAT(used.error_message(), Catch::Contains("one, two"));
  REQUIRE(server.Delete("one").ok());
  REQUIRE(server.Put("two", {}).ok());
  v1::UnloadAdapterResponse response;
  REQUIRE(server.Unload("x", &response).ok());
  CHECK(response.freed_bytes() > 0);
  CHECK(server.List().adapters_size() == 0);
  CHECK(server.List().budget().adapters() == 0);
  CHECK(server.Unload("x").error_code() == grpc::NOT_FOUND);
  // The name is free.
  server.LoadVersion("x", "a");
}

TEST_CASE("an unload waits for readers within its bound, and leaves the adapter as it was") {
  const AdapterWorld world;
  AdapterServer server(AdapterConfigFor(world));
  server.LoadVersion("x", "a");
  const AdapterUse use{"x", 1.0f};
  auto reader = server.weights().Acquire({&use, 1}, absl::InfiniteFuture());
  REQUIRE(reader.ok());
  grpc::ClientContext context;
  v1::UnloadAdapterRequest request;
  request.set_name("x");
  request.mutable_wait()->set_nanos(20'000'000);
  v1::UnloadAdapterResponse response;
  const grpc::Status status = server.Admin()->UnloadAdapter(&context, request, &response);
  CHECK(status.error_code() == grpc::FAILED_PRECONDITION);
  CHECK_THAT(status.error_message(), Catch::Contains("1 request"));
  CHECK(server.Info("x").state() == v1::AdapterInfo::STATE_READY);
  reader->reset();
  CHECK(server.Unload("x").ok());
}

TEST_CASE("a client that goes away aborts its load, and nothing is left") {
  const AdapterWorld world;
  AdapterServer server(AdapterConfigFor(world));
  server.gate().Close();
  auto stub = server.Admin();
  grpc::ClientContext context;
  auto reader = stub->LoadAdapter(&context, LoadRequestOf("x", "e"));
  server.gate().AwaitVisitor();
  context.TryCancel();
  CHECK(reader->Finish().error_code() == grpc::CANCELLED);
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  for (auto list = server.List(); list.adapters_size() > 0; list = server.List()) {
    REQUIRE(list.adapters(0).state() == v1::AdapterInfo::STATE_LOADING);
    REQUIRE(absl::Now() < deadline);
    absl::SleepFor(absl::Milliseconds(5));
  }
  CHECK(server.List().budget().adapters() == 0);
  server.gate().Open();
  server.LoadVersion("x", "e");
}

TEST_CASE("what cannot be loaded is refused by its reason, and the name stays free") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.max_rank = 1;
  const AdapterServer server(config);
  struct Case {
    std::string name, path;
    grpc::StatusCode code;
    std::string text, field;
  };
  fs::create_directory(world.root + "/empty");
  fs::create_symlink("/", world.root + "/outside");
  for (const Case& c : std::vector<Case>{
           {"", "e", grpc::INVALID_ARGUMENT, "name", "name"},
           {"a b", "e", grpc::INVALID_ARGUMENT, "a b", "name"},
           {std::string(129, 'n'), "e", grpc::INVALID_ARGUMENT, "128", "name"},
           {"x", "", grpc::INVALID_ARGUMENT, "empty", "path"},
           {"x", "/etc", grpc::INVALID_ARGUMENT, "absolute", "path"},
           {"x", "../e", grpc::INVALID_ARGUMENT, "..", "path"},
           {"x", "nothing", grpc::NOT_FOUND, "there is nothing at \"nothing\"", ""},
           {"x", "outside", grpc::NOT_FOUND, "there is nothing at \"outside\"", ""},
           {"x", "empty", grpc::FAILED_PRECONDITION, "empty", ""},
           {"x", "a", grpc::FAILED_PRECONDITION, "x", ""},  // its rank is over adapters.max_rank
       }) {
    INFO(c.name << " " << c.path);
    const grpc::Status status = server.Load(c.name, c.path);
    CHECK(status.error_code() == c.code);
    CHECK_THAT(status.error_message(), Catch::Contains(c.text));
    CHECK_THAT(status.error_message(), !Catch::Contains(world.folder.path()));
    if (!c.field.empty()) CHECK(BadField(status) == c.field);
  }
  CHECK(server.List().adapters_size() == 0);
  server.LoadVersion("x", "e");
}

TEST_CASE("an adapter that does not fit is refused with the arithmetic") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  const AdapterServer server(config, MappedBytes(config, "e") / 2);
  const grpc::Status status = server.Load("e", "e");
  CHECK(status.error_code() == grpc::FAILED_PRECONDITION);
  CHECK(Violation(status) == "ADAPTER");
  CHECK_THAT(status.error_message(), Catch::Contains("needs") && Catch::Contains("free") &&
                                         Catch::Contains("pinned") && Catch::Contains("evictable"));
  CHECK(server.List().adapters_size() == 0);
}

TEST_CASE("an evicted adapter comes back for its task, who waits too long is told to come again") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.load_wait_s = 0.1;
  AdapterServer server(config, RoomForOne(config));
  server.LoadVersion("a", "a");
  REQUIRE(server.Put("t", {{"a", 1.0f}}).ok());
  server.LoadVersion("b", "b");
  REQUIRE(server.Info("a").tier() == v1::AdapterInfo::TIER_DISK);
  CHECK_THAT(server.server().state().deployment()->adapters->Summary(),
             Catch::StartsWith("1 resident, 1 on disk, "));
  server.gate().Close();
  const grpc::Status waiting = Ask(*server.Inference(), ScoreRequest("t", {1, 2})).status;
  CHECK(waiting.error_code() == grpc::UNAVAILABLE);
  CHECK(HasRetry(waiting));
  CHECK_THAT(waiting.error_message(), Catch::Contains("adapter a"));
  // The call's own deadline is the client's business.
  CHECK(Ask(*server.Inference(), ScoreRequest("t", {1, 2}), absl::Milliseconds(50)).status.error_code() ==
        grpc::DEADLINE_EXCEEDED);
  server.gate().Open();
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  grpc::Status status;
  do {
    status = Ask(*server.Inference(), ScoreRequest("t", {1, 2})).status;
    REQUIRE((status.ok() || status.error_code() == grpc::UNAVAILABLE));
  } while (!status.ok() && absl::Now() < deadline);
  CHECK(status.ok());
  CHECK(server.Info("a").tier() == v1::AdapterInfo::TIER_RESIDENT);
  // A pin loads as well, and keeps: b has no room any more.
  grpc::ClientContext context;
  v1::PinAdapterRequest pin;
  pin.set_name("a");
  pin.set_pinned(true);
  v1::PinAdapterResponse pinned;
  REQUIRE(server.Admin()->PinAdapter(&context, pin, &pinned).ok());
  CHECK(pinned.adapter().pinned());
  const grpc::Status full = server.Load("c", "b");
  CHECK(full.error_code() == grpc::FAILED_PRECONDITION);
  CHECK(server.Info("a").tier() == v1::AdapterInfo::TIER_RESIDENT);
}

TEST_CASE("without loads on demand a request for an evicted adapter is refused by name") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.allow_on_demand = false;
  const AdapterServer server(config, RoomForOne(config));
  server.LoadVersion("a", "a");
  REQUIRE(server.Put("t", {{"a", 1.0f}}).ok());
  server.LoadVersion("b", "b");
  const grpc::Status status = Ask(*server.Inference(), ScoreRequest("t", {1, 2})).status;
  CHECK(status.error_code() == grpc::FAILED_PRECONDITION);
  CHECK_THAT(status.error_message(), Catch::Contains("adapter a") && Catch::Contains("allow_on_demand"));
}

}  // namespace guildhall
