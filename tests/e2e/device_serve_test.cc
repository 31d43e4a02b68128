// What only a server on a device shows: who computes its products, a device that fails, its tokens beside a
// CPU's. On the CPU these cases have nothing to ask.
#include <signal.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "absl/time/clock.h"
#include "tests/e2e/client.h"
#include "tests/e2e/process.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

using Catch::Contains;

// serve, which is to be refused before it serves.
Finished ServeInVain(const std::vector<std::string>& settings,
                     const std::vector<std::string>& environment = {}) {
  const TempFolder folder;
  std::vector<std::string> arguments{"serve", "--config",
                                     std::string(GUILDHALL_SOURCE_DIR) + "/configs/demo.json"};
  std::vector<std::string> all{"server.listen=unix:" + folder.path() + "/inference",
                               "admin.listen=unix:" + folder.path() + "/admin", "http.listen="};
  all.insert(all.end(), settings.begin(), settings.end());
  for (const std::string& setting : all) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  return RunCommand(arguments, environment);
}

v1::GenerateRequest Endless() {
  v1::GenerateRequest request = GreedyRequest("", "go on", 400);
  request.mutable_sampling()->set_ignore_eos(true);
  return request;
}

}  // namespace

TEST_CASE("products of a library are refused by name where there is none") {
  const Finished on_cpu = ServeInVain({"device=cpu", "device_products=library"});
  CHECK(on_cpu.exit_code == 1);
  CHECK_THAT(on_cpu.err,
             Contains("device_products: expected \"exact\" on device \"cpu\", found \"library\""));
  if (!OnTestDevice()) return;
  const Finished absent = ServeInVain({"device=cuda", "device_products=library"}, {"EMULATED_CUDA_CUBLAS=0"});
  CHECK(absent.exit_code == 1);
  CHECK_THAT(absent.err, Contains("device_products: \"library\" needs cuBLASLt (libcublasLt.so.13)") &&
                             Contains("LD_LIBRARY_PATH"));
}

TEST_CASE("a server whose products are a library's says so in its log and its status") {
  if (!OnTestDevice()) return;
  const ServerProcess exact, server({"device_products=library"});
  CHECK_THAT(server.Log(), Contains("products of cuBLASLt 13.0.2 (no isolation to the bit)") &&
                               Contains("device_products: library: an answer's bits may depend on"));
  const v1::ModelStatus model = StatusOf(server.admin_address()).model();
  CHECK(model.device_products() == "library");
  CHECK_THAT(model.backend(), Contains("no isolation to the bit"));
  const Finished shown = RunCommand({"status", "--server", server.admin_address()});
  CHECK_THAT(shown.out, Contains("no isolation to the bit"));
  CHECK(StatusOf(exact.admin_address()).model().device_products() == "exact");
  // Long enough for the library; what it is asked is not too close a question.
  v1::GenerateRequest request = GreedyRequest("math", HeldOutExamples(1).front().prompt);
  std::string context;
  for (int i = 0; i < 20; ++i) context += HeldOutExamples(1).front().prompt + " ";
  request.set_text(context + request.text());
  request.mutable_sampling()->set_max_tokens(2);
  const Answer answer = Ask(server.address(), request);
  REQUIRE(answer.status.ok());
  REQUIRE(answer.end.usage().prompt_tokens() >= 128);
  CHECK(answer.tokens == Ask(exact.address(), request).tokens);
}

TEST_CASE("a device that is there and cannot be used is warned of where auto takes the CPU") {
  if (!OnTestDevice()) return;
  const ServerProcess server({"device=auto"}, {.environment = {"EMULATED_CUDA_DRIVER=12040"}});
  CHECK_THAT(server.Log(), Contains("back end: cpu") &&
                               Contains("device: auto takes the CPU: device \"cuda\": driver for CUDA 12.4"));
}

TEST_CASE("a request whose time is over ends, and leaves the device to the others", "[long]") {
  const ServerProcess server;
  const v1::GenerateRequest asked = GreedyRequest("math", HeldOutExamples(1).front().prompt);
  const Answer before = Ask(server.address(), asked);
  auto stub =
      v1::Inference::NewStub(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(OnTestDevice() ? 1500 : 30));
  auto reader = stub->Generate(&context, Endless());
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
  }
  CHECK(reader->Finish().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  const Answer after = Ask(server.address(), asked);
  CHECK(after.tokens == before.tokens);
  for (int tries = 0; tries < 1000; ++tries) {
    if (StatusOf(server.admin_address()).engine().running() == 0) break;
    absl::SleepFor(absl::Milliseconds(10));
  }
  const v1::EngineStatus engine = StatusOf(server.admin_address()).engine();
  CHECK(engine.running() == 0);
  CHECK(engine.kv_blocks_free() == engine.kv_blocks());
}

TEST_CASE("a device that fails for good ends its requests, and the process with an error") {
  if (!OnTestDevice()) return;
  // cudaErrorIllegalAddress, some steps after the first request has begun.
  const std::vector<std::string> fault{"EMULATED_CUDA_FAULT=kernel:2000:700:sticky"};
  ServerProcess server({}, {.environment = fault});
  const Answer cut = Ask(server.address(), Endless());
  CHECK(cut.status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(server.Wait() == 1);
  CHECK_THAT(server.Log(), Contains("the device is lost to this process") &&
                               Contains("cudaErrorIllegalAddress") &&
                               Contains("the device has failed for good"));
  // Or it stays, serves nothing and says so.
  ServerProcess staying({"on_device_error=stay"}, {.environment = fault});
  CHECK(Ask(staying.address(), Endless()).status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(Ask(staying.address(), Endless()).status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(StatusOf(staying.admin_address()).engine().device_lost());
  // Readiness follows within a look of the server at its engine.
  const absl::Time late = absl::Now() + absl::Seconds(30);
  const auto ready = [&] {
    return RunCommand({"healthcheck", "--server", staying.address(), "--service", "readiness"}).exit_code ==
           0;
  };
  while (ready()) REQUIRE(absl::Now() < late);
  staying.Signal(SIGTERM);
  CHECK(staying.Wait() == 1);
}

TEST_CASE("the demo's bf16 tokens are those of the CPU, or part where two are nearly as likely", "[long]") {
  if (!OnTestDevice()) return;
  const ServerProcess cpu({"device=cpu"}), device;
  int same = 0, asked = 0;
  for (const Example& example : HeldOutExamples(2)) {
    v1::GenerateRequest request = GreedyRequest(example.task, example.prompt, 24);
    request.mutable_logprobs()->set_top(2);
    const Answer expected = Ask(cpu.address(), request), found = Ask(device.address(), request);
    if (expected.status.error_code() == grpc::StatusCode::NOT_FOUND) continue;  // a task that is not served
    REQUIRE(expected.status.ok());
    REQUIRE(found.status.ok());
    ++asked;
    if (found.tokens == expected.tokens) {
      ++same;
      continue;
    }
    size_t first = 0;
    while (first < found.tokens.size() && first < expected.tokens.size() &&
           found.tokens[first] == expected.tokens[first]) {
      ++first;
    }
    INFO(example.task << ": " << example.prompt << ": they part at token " << first);
    REQUIRE(first < expected.margins.size());
    CHECK(expected.margins[first] < 0.1f);
  }
  CHECK(asked >= 16);
  CHECK(same >= asked - 2);
}

}  // namespace guildhall
