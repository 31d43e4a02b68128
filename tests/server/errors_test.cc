// Every row of the error table, over real sockets: the code, the detail, and a server that goes on.
#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "tests/server/fixture.h"

namespace guildhall {
namespace {

grpc::Status StatusFor(v1::Inference::Stub& stub, const v1::GenerateRequest& request) {
  return Ask(stub, request).status;
}

// Waits until the engine has taken `count` requests that are not finished.
void WaitForRequests(const TestServer& server, int64_t count) {
  server.WaitFor([&](const v1::GetStatusResponse& status) {
    return status.engine().queued() + status.engine().running() == count;
  });
}

}  // namespace

TEST_CASE("bad fields, lengths and tasks: code and detail") {
  TestServer server;
  auto stub = server.Inference();
  v1::GenerateRequest bad = IdRequest(5, 1);
  bad.mutable_sampling()->set_top_p(2);
  grpc::Status status = StatusFor(*stub, bad);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(BadField(status) == "sampling.top_p");
  CHECK_THAT(status.error_message(), Catch::Contains("expected a number from 0 to 1, found 2"));

  status = StatusFor(*stub, IdRequest(5, 1024));
  CHECK(status.error_code() == grpc::OUT_OF_RANGE);
  CHECK(BadField(status) == "sampling.max_tokens");
  CHECK_THAT(status.error_message(),
             Catch::Contains("prompt tokens (1) + max_tokens (1024)") && Catch::Contains("limit of 1024"));
  CHECK(StatusFor(*stub, IdRequest(5, 1025)).error_code() == grpc::INVALID_ARGUMENT);

  v1::GenerateRequest large = IdRequest(5, 0);
  for (int i = 0; i < 1024; ++i) large.mutable_token_ids()->add_ids(5);
  status = StatusFor(*stub, large);
  CHECK(status.error_code() == grpc::OUT_OF_RANGE);
  CHECK_THAT(status.error_message(), Catch::Contains("1025 tokens") && Catch::Contains("1024"));

  // Where the client leaves the length open, it is what the context has room for.
  v1::GenerateRequest open;
  for (int i = 0; i < 1000; ++i) open.mutable_token_ids()->add_ids(5);
  const Answer filled = Ask(*stub, open);
  CHECK(filled.status.ok());
  CHECK(filled.end.usage().output_tokens() == 24);

  v1::GenerateRequest unknown = IdRequest(5, 1);
  unknown.set_task("tel");
  status = StatusFor(*stub, unknown);
  CHECK(status.error_code() == grpc::NOT_FOUND);
  const auto resource = Detail<google::rpc::ResourceInfo>(status);
  CHECK(resource.resource_type() == "task");
  CHECK(resource.resource_name() == "tel");
  CHECK_THAT(status.error_message(), !Catch::Contains("tell"));  // no other task's name

  v1::GenerateRequest roles;
  roles.mutable_chat()->add_messages()->set_role("nobody");
  status = StatusFor(*stub, roles);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(BadField(status) == "chat");
  CHECK_THAT(status.error_message(), Catch::Contains("unknown role nobody"));
  CHECK(Ask(*stub, IdRequest(5, 3)).status.ok());
  server.WaitUntilIdle();
}

TEST_CASE("a template that would run for ever or raises is the request's own error") {
  ServerConfig config = TestConfig();
  config.tasks["loops"].id = "loops";
  config.tasks["loops"].chat_template =
      "{% for a in range(25000) %}{% for b in range(25000) %}{{ a * b }}{% endfor %}{% endfor %}";
  config.tasks["raises"].id = "raises";
  config.tasks["raises"].chat_template = "{{ raise_exception('only on Sundays') }}";
  TestServer server({}, config);
  auto stub = server.Inference();
  v1::GenerateRequest chat;
  chat.mutable_chat()->add_messages()->set_role("user");
  chat.set_task("loops");
  grpc::Status status = StatusFor(*stub, chat);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK(BadField(status) == "chat");
  CHECK_THAT(status.error_message(), Catch::Contains("more work than the limit"));
  chat.set_task("raises");
  status = StatusFor(*stub, chat);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK_THAT(status.error_message(), Catch::Contains("only on Sundays"));
  CHECK(Ask(*stub, IdRequest(5, 3)).status.ok());
}

TEST_CASE("a huge task name makes no huge error") {
  TestServer server;
  auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(5, 1);
  request.set_task(std::string(1'000'000, 'x'));
  const grpc::Status status = StatusFor(*stub, request);
  CHECK(status.error_code() == grpc::NOT_FOUND);
  CHECK(status.error_message().size() < 2000);
}

TEST_CASE("a folder without a tokenizer serves token ids and says what it cannot do") {
  ServerConfig config = TestConfig();
  config.tasks.clear();
  TestServer server({}, config, TextAssets());
  auto stub = server.Inference();
  const Answer ids = Ask(*stub, IdRequest(5, 4));
  CHECK(ids.status.ok());
  CHECK(ids.tokens.size() == 4);
  CHECK(ids.text.empty());
  v1::GenerateRequest stops = IdRequest(5, 4);
  stops.mutable_sampling()->add_stop("x");
  for (const auto& request : {TextRequest("hello", 1), stops}) {
    const grpc::Status status = StatusFor(*stub, request);
    CHECK(status.error_code() == grpc::FAILED_PRECONDITION);
    const auto unmet = Detail<google::rpc::PreconditionFailure>(status);
    REQUIRE(unmet.violations_size() == 1);
    CHECK(unmet.violations(0).type() == "TOKENIZER");
  }
}

TEST_CASE("a full queue, a task's quota and the cap on open calls refuse at once with a hint to retry") {
  ServerConfig config = TestConfig();
  config.engine.max_running = 1;
  config.engine.max_queued = 4;
  config.limits.concurrent_requests = 6;
  TestServer server({}, config);
  server.model().Hold();
  std::vector<std::jthread> clients;
  std::vector<Answer> answers(6);
  const auto send = [&](size_t i, const std::string& task) {
    clients.emplace_back([&server, &answers, i, task] {
      auto stub = server.Inference();
      v1::GenerateRequest request = IdRequest(5, 2);
      request.set_task(task);
      answers[i] = Ask(*stub, request);
    });
    WaitForRequests(server, static_cast<int64_t>(i) + 1);
  };
  auto stub = server.Inference();
  v1::GenerateRequest plain = IdRequest(5, 2);
  plain.set_task("plain");
  // One runs (held), two of the task "plain" wait: its quota.
  send(0, "");
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  send(1, "plain");
  send(2, "plain");
  grpc::Status status = StatusFor(*stub, plain);
  CHECK(status.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(HasRetry(status));
  CHECK_THAT(status.error_message(), Catch::Contains("plain") && Catch::Contains("2"));
  // Two more fill the queue of four.
  send(3, "");
  send(4, "");
  status = StatusFor(*stub, IdRequest(5, 2));
  CHECK(status.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(HasRetry(status));
  CHECK_THAT(status.error_message(), Catch::Contains("4"));
  server.model().Release();
  clients.clear();
  for (size_t i = 0; i < 5; ++i) CHECK(answers[i].status.ok());
  server.WaitUntilIdle();
}

TEST_CASE("the cap on open calls holds before anything is queued") {
  ServerConfig config = TestConfig();
  config.limits.concurrent_requests = 2;
  TestServer server({}, config);
  server.model().Hold();
  std::vector<std::jthread> clients;
  std::vector<Answer> answers(2);
  for (size_t i = 0; i < 2; ++i) {
    clients.emplace_back([&server, &answers, i] {
      auto stub = server.Inference();
      answers[i] = Ask(*stub, IdRequest(5, 2));
    });
  }
  WaitForRequests(server, 2);
  auto stub = server.Inference();
  const grpc::Status status = StatusFor(*stub, IdRequest(5, 2));
  CHECK(status.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(HasRetry(status));
  CHECK_THAT(status.error_message(), Catch::Contains("limit of 2 requests"));
  server.model().Release();
  clients.clear();
  CHECK((answers[0].status.ok() && answers[1].status.ok()));
  server.WaitUntilIdle();
}

TEST_CASE("the call's deadline and the request's own time limit end it, and the blocks come back") {
  TestServer server(EndlessModel());
  auto stub = server.Inference();
  const Answer call = Ask(*stub, IdRequest(5, kEndless), absl::Milliseconds(200));
  CHECK(call.status.error_code() == grpc::DEADLINE_EXCEEDED);
  server.WaitUntilIdle();
  v1::GenerateRequest limited = IdRequest(5, kEndless);
  limited.mutable_time_limit()->set_nanos(100'000'000);
  const Answer own = Ask(*stub, limited);
  CHECK(own.status.error_code() == grpc::DEADLINE_EXCEEDED);
  CHECK(own.ended);
  CHECK(own.end.finish_reason() == v1::FINISH_REASON_DEADLINE);
  server.WaitUntilIdle();
}

TEST_CASE("a client that goes away frees its request, whether it reads, waits or is queued") {
  ServerConfig config = TestConfig();
  config.engine.max_running = 1;
  TestServer server({}, config);
  auto stub = server.Inference();
  for (const bool held : {false, true}) {
    if (held) server.model().Hold();
    grpc::ClientContext running, queued;
    auto first = stub->Generate(&running, IdRequest(5, 1000));
    v1::GenerateResponse response;
    REQUIRE(first->Read(&response));
    auto second = stub->Generate(&queued, IdRequest(6, 1000));
    REQUIRE(second->Read(&response));
    queued.TryCancel();
    running.TryCancel();
    CHECK(first->Finish().error_code() == grpc::CANCELLED);
    CHECK(second->Finish().error_code() == grpc::CANCELLED);
    server.model().Release();
    server.WaitUntilIdle();
  }
  CHECK(Ask(*stub, IdRequest(5, 3)).status.ok());
}

TEST_CASE("numbers that are not finite fail their request alone") {
  ScriptedModel::Options options;
  options.poison = 66;
  TestServer server(options);
  auto stub = server.Inference();
  const Answer poisoned = Ask(*stub, IdRequest(66, 5));
  CHECK(poisoned.status.error_code() == grpc::INTERNAL);
  CHECK_FALSE(poisoned.status.error_message().empty());
  CHECK(poisoned.end.finish_reason() == v1::FINISH_REASON_ERROR);
  CHECK(Ask(*stub, IdRequest(5, 5)).status.ok());
  server.WaitUntilIdle();
}

TEST_CASE(
    "text that is not UTF-8, messages and metadata beyond the caps are refused, and the server goes on") {
  TestServer server;
  auto stub = server.Inference();
  // The generated client would refuse it too late or too early: raw bytes instead. Field 2 (text), two bad
  // bytes.
  const std::string raw("\x12\x02\xff\xfe", 4);
  grpc::Slice slice(raw);
  grpc::ByteBuffer buffer(&slice, 1);
  auto channel = server.Channel();
  grpc::internal::RpcMethod method("/guildhall.v1.Inference/Generate",
                                   grpc::internal::RpcMethod::SERVER_STREAMING);
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> reader(
      grpc::internal::ClientReaderFactory<grpc::ByteBuffer>::Create(channel.get(), method, &context, buffer));
  grpc::ByteBuffer ignored;
  while (reader->Read(&ignored)) {
  }
  grpc::Status status = reader->Finish();
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  CHECK_THAT(status.error_message(), Catch::Contains("UTF-8"));
  CHECK(BadField(status) == "request");

  const auto large = TextRequest(std::string((size_t{4} << 20) + 1, 'x'), 1);
  CHECK(StatusFor(*stub, large).error_code() == grpc::RESOURCE_EXHAUSTED);

  auto other = server.Inference();
  CHECK(Ask(*other, IdRequest(5, 3)).status.ok());
  grpc::ClientContext heavy;
  heavy.AddMetadata("x-heavy", std::string(20'000, 'x'));
  v1::ListTasksResponse tasks;
  CHECK(stub->ListTasks(&heavy, {}, &tasks).error_code() == grpc::RESOURCE_EXHAUSTED);
  // gRPC 1.51 may close the connection that brought such metadata; others do not notice.
  CHECK(Ask(*other, IdRequest(5, 3)).status.ok());
  CHECK(Ask(*server.Inference(), IdRequest(5, 3)).status.ok());
}

TEST_CASE("many requests with impossible lengths cost nothing but their refusal") {
  TestServer server;
  auto stub = server.Inference();
  const int64_t free_blocks = server.Status().engine().kv_blocks_free();
  for (int i = 0; i < 2000; ++i) {
    const grpc::Status status = StatusFor(*stub, IdRequest(5, int64_t{1} << 31));
    REQUIRE(status.error_code() == grpc::INVALID_ARGUMENT);
  }
  const v1::GetStatusResponse status = server.Status();
  CHECK(status.engine().kv_blocks_free() == free_blocks);
  CHECK(status.engine().steps() == 0);
}

}  // namespace guildhall
