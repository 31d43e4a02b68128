// Tasks that are put and deleted while the server runs, and who may do it.
#include <catch2/catch.hpp>
#include <thread>

#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

v1::TaskDefinition Definition(const std::string& id) {
  v1::TaskDefinition task;
  task.set_id(id);
  return task;
}

grpc::Status PutStatus(const TestServer& server, const v1::TaskDefinition& task, bool* replaced = nullptr) {
  grpc::ClientContext context;
  v1::PutTaskRequest request;
  *request.mutable_task() = task;
  v1::PutTaskResponse response;
  const grpc::Status status = server.Admin()->PutTask(&context, request, &response);
  if (replaced != nullptr) *replaced = response.replaced();
  return status;
}

v1::TaskStatus StatusOf(const TestServer& server, const std::string& id) {
  const v1::GetStatusResponse status = server.Status();
  for (const auto& task : status.tasks()) {
    if (task.id() == id) return task;
  }
  FAIL("there is no task " << id);
  return {};
}

}  // namespace

TEST_CASE("a task that is put serves at once with its own defaults, and may be replaced and deleted") {
  TestServer server;
  auto stub = server.Inference();
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(5);
  request.set_task("new");
  CHECK(Ask(*stub, request).status.error_code() == grpc::NOT_FOUND);
  v1::TaskDefinition task = Definition("new");
  task.mutable_sampling()->set_max_tokens(3);
  task.set_weight(2.0);
  task.set_max_running(7);
  bool replaced = true;
  REQUIRE(PutStatus(server, task, &replaced).ok());
  CHECK_FALSE(replaced);
  CHECK(Ask(*stub, request).end.usage().output_tokens() == 3);
  CHECK(StatusOf(server, "new").weight() == 2.0);
  CHECK(StatusOf(server, "new").max_running() == 7);
  CHECK(StatusOf(server, "new").max_queued() == TaskConfig().max_queued);
  task.mutable_sampling()->set_max_tokens(4);
  REQUIRE(PutStatus(server, task, &replaced).ok());
  CHECK(replaced);
  CHECK(Ask(*stub, request).end.usage().output_tokens() == 4);
  // A configured one keeps its quota where the message says nothing.
  REQUIRE(PutStatus(server, Definition("plain")).ok());
  CHECK(StatusOf(server, "plain").max_queued() == 2);

  grpc::ClientContext context;
  v1::DeleteTaskRequest gone;
  gone.set_id("new");
  v1::DeleteTaskResponse response;
  REQUIRE(server.Admin()->DeleteTask(&context, gone, &response).ok());
  const grpc::Status status = Ask(*stub, request).status;
  CHECK(status.error_code() == grpc::NOT_FOUND);
  CHECK(Detail<google::rpc::ResourceInfo>(status).resource_name() == "new");
  grpc::ClientContext again;
  CHECK(server.Admin()->DeleteTask(&again, gone, &response).error_code() == grpc::NOT_FOUND);
}

TEST_CASE("a running request ends as it began although its task is deleted") {
  TestServer server;
  REQUIRE(PutStatus(server, Definition("new")).ok());
  server.model().Hold();
  Answer answer;
  std::jthread client([&] {
    v1::GenerateRequest request = IdRequest(5, 20);
    request.set_task("new");
    answer = Ask(*server.Inference(), request);
  });
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  grpc::ClientContext context;
  v1::DeleteTaskRequest gone;
  gone.set_id("new");
  v1::DeleteTaskResponse response;
  CHECK(server.Admin()->DeleteTask(&context, gone, &response).ok());
  server.model().Release();
  client.join();
  CHECK(answer.status.ok());
  CHECK(answer.end.usage().output_tokens() == 20);
}

TEST_CASE("the base's defaults can be put, it takes no adapters and stays") {
  TestServer server;
  v1::TaskDefinition base;
  base.mutable_sampling()->set_max_tokens(2);
  REQUIRE(PutStatus(server, base).ok());
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(5);
  CHECK(Ask(*server.Inference(), request).end.usage().output_tokens() == 2);
  base.add_adapters()->set_name("x");
  const grpc::Status adapters = PutStatus(server, base);
  CHECK(adapters.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(BadField(adapters) == "task.adapters");
  grpc::ClientContext context;
  v1::DeleteTaskResponse response;
  const grpc::Status deleted = server.Admin()->DeleteTask(&context, {}, &response);
  CHECK(deleted.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(BadField(deleted) == "id");
}

TEST_CASE("a definition is held to the rules of the configuration file, field by field") {
  TestServer server;
  const auto refused = [&](const char* field, const auto& change) {
    v1::TaskDefinition task = Definition("t");
    change(task);
    const grpc::Status status = PutStatus(server, task);
    INFO(field << ": " << status.error_message());
    CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
    CHECK(BadField(status) == field);
  };
  refused("task.id", [](auto& task) { task.set_id("/etc"); });
  refused("task.id", [](auto& task) { task.set_id(std::string(129, 'x')); });
  refused("task.weight", [](auto& task) { task.set_weight(0); });
  refused("task.weight", [](auto& task) { task.set_weight(std::numeric_limits<double>::quiet_NaN()); });
  for (const int64_t value : {int64_t{-1}, int64_t{1'000'001}, std::numeric_limits<int64_t>::max()}) {
    refused("task.max_queued", [&](auto& task) { task.set_max_queued(value); });
  }
  for (const int64_t value : {int64_t{0}, int64_t{4097}, std::numeric_limits<int64_t>::min()}) {
    refused("task.max_running", [&](auto& task) { task.set_max_running(value); });
  }
  refused("task.text", [](auto& task) { task.set_text("prose"); });
  refused("task.chat_template", [](auto& task) { task.set_chat_template("{% for"); });
  refused("task.sampling.top_p", [](auto& task) { task.mutable_sampling()->set_top_p(2); });
  refused("task.sampling.temperature", [](auto& task) { task.mutable_sampling()->set_temperature(-1); });
  refused("task.sampling.max_tokens",
          [](auto& task) { task.mutable_sampling()->set_max_tokens(int64_t{1} << 31); });
  refused("task.sampling.seed", [](auto& task) { task.mutable_sampling()->set_seed(1); });
  refused("task.sampling.stop", [](auto& task) { task.mutable_sampling()->add_stop(""); });
  refused("task.adapters", [](auto& task) { task.add_adapters()->set_name("../x"); });
  refused("task.adapters", [](auto& task) {
    for (int i = 0; i < 17; ++i) task.add_adapters()->set_name("a" + std::to_string(i));
  });
  refused("task.adapters", [](auto& task) {
    task.add_adapters()->set_name("a");
    task.mutable_adapters(0)->set_scale(std::numeric_limits<float>::infinity());
  });
  refused("task.description", [](auto& task) { task.set_description(std::string(4097, 'x')); });
  refused("task.system_prompt", [](auto& task) { task.set_system_prompt(std::string((1 << 20) + 1, 'x')); });
  grpc::ClientContext context;
  v1::PutTaskResponse response;
  CHECK(BadField(server.Admin()->PutTask(&context, {}, &response)) == "task");
  // Nothing of all this is there.
  v1::GenerateRequest request = IdRequest(5, 1);
  request.set_task("t");
  CHECK(Ask(*server.Inference(), request).status.error_code() == grpc::NOT_FOUND);
}

TEST_CASE("a task cannot name an adapter that is not loaded, nor two that replace the same experts") {
  const AdapterWorld world;
  const AdapterServer server(AdapterConfigFor(world));
  const grpc::Status missing = server.Put("t", {{"x", 1.0f}});
  CHECK(missing.error_code() == grpc::NOT_FOUND);
  CHECK(Detail<google::rpc::ResourceInfo>(missing).resource_type() == "adapter");
  CHECK(Detail<google::rpc::ResourceInfo>(missing).resource_name() == "x");
  server.LoadVersion("x", "e");
  server.LoadVersion("y", "e");
  const grpc::Status both = server.Put("t", {{"x", 1.0f}, {"y", 1.0f}});
  CHECK(both.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(BadField(both) == "task.adapters");
  CHECK_THAT(both.error_message(), Catch::Contains("x") && Catch::Contains("y"));
  CHECK(Ask(*server.Inference(), ScoreRequest("t", {1})).status.error_code() == grpc::NOT_FOUND);
}

TEST_CASE("a server without a weight manager says so") {
  TestServer server;
  grpc::ClientContext context;
  v1::LoadAdapterRequest request;
  request.set_name("x");
  request.set_path("y");
  auto reader = server.Admin()->LoadAdapter(&context, request);
  v1::LoadAdapterResponse ignored;
  CHECK_FALSE(reader->Read(&ignored));
  CHECK(reader->Finish().error_code() == grpc::FAILED_PRECONDITION);
}

TEST_CASE("every call that changes something needs the token, and a server that serves") {
  ServerConfig config = TestConfig();
  config.admin.token = "correct horse";
  auto server = StartServer(config);
  REQUIRE(server.ok());
  const auto stub =
      v1::Admin::NewStub(grpc::CreateChannel(AdminTarget(**server), grpc::InsecureChannelCredentials()));
  const auto check = [&](const std::string& token, grpc::StatusCode expected) {
    const auto call = [&](const auto& send) {
      grpc::ClientContext context;
      if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
      CHECK(send(context).error_code() == expected);
    };
    call([&](auto& context) {
      v1::LoadAdapterResponse response;
      auto reader = stub->LoadAdapter(&context, {});
      CHECK_FALSE(reader->Read(&response));
      return reader->Finish();
    });
    v1::UnloadAdapterResponse unloaded;
    call([&](auto& context) { return stub->UnloadAdapter(&context, {}, &unloaded); });
    v1::ListAdaptersResponse listed;
    call([&](auto& context) { return stub->ListAdapters(&context, {}, &listed); });
    v1::PinAdapterResponse pinned;
    call([&](auto& context) { return stub->PinAdapter(&context, {}, &pinned); });
    v1::PutTaskResponse put;
    call([&](auto& context) { return stub->PutTask(&context, {}, &put); });
    v1::DeleteTaskResponse deleted;
    call([&](auto& context) { return stub->DeleteTask(&context, {}, &deleted); });
  };
  check("", grpc::UNAUTHENTICATED);
  check("wrong", grpc::PERMISSION_DENIED);
  check("correct horse", grpc::UNAVAILABLE);  // the model is still loading
}

TEST_CASE("two clients that load, put and unload at the same time see whole states only") {
  const AdapterWorld world;
  const AdapterServer server(AdapterConfigFor(world));
  const auto client = [&](const std::string& own, const std::string& path, int* done) {
    for (int i = 0; i < 10; ++i) {
      if (!server.Load(own, path).ok()) return;
      if (!server.Put("task-" + own, {{own, 1.0f}}).ok()) return;
      if (Ask(*server.Inference(), ScoreRequest("task-" + own, {1, 2})).end.adapters_size() != 1) return;
      // The name that both want: one of them gets it.
      const grpc::Status shared = server.Load("shared", "b");
      if (!shared.ok() && shared.error_code() != grpc::ALREADY_EXISTS &&
          shared.error_code() != grpc::FAILED_PRECONDITION && shared.error_code() != grpc::ABORTED) {
        return;
      }
      if (shared.ok() && !server.Unload("shared").ok()) return;
      if (!server.Delete("task-" + own).ok() || !server.Unload(own).ok()) return;
      ++*done;
    }
  };
  int first = 0, second = 0;
  { const std::jthread one(client, "one", "a", &first), two(client, "two", "e", &second); }
  CHECK(first == 10);
  CHECK(second == 10);
  CHECK(server.List().adapters_size() == 0);
  CHECK(server.List().budget().adapters() == 0);
}

}  // namespace guildhall
