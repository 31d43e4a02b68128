// What open requests hold is counted, bounded, shown, and given back.
#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "base/heap.h"
#include "server/request_memory.h"
#include "tests/server/fixture.h"

namespace guildhall {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

TEST_CASE("an open request is counted until it ends, and the status shows it with the limit") {
  ServerConfig config = TestConfig();
  config.limits.request_memory_bytes = 64 * kMiB;
  TestServer server({}, config);
  CHECK(server.Status().request_memory_limit() == 64 * kMiB);
  CHECK(server.Status().request_memory() == 0);
  server.model().Hold();
  Answer open;
  std::jthread client([&] { open = Ask(*server.Inference(), IdRequest(5, 500)); });
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  CHECK(server.Status().request_memory() > 500 * sizeof(int32_t));
  server.model().Release();
  client.join();
  CHECK(open.status.ok());
  server.WaitFor([](const auto& status) { return status.request_memory() == 0; });
}

TEST_CASE("what does not fit beside the others is told to come again, and the others go on") {
  ServerConfig config = TestConfig();
  config.limits.request_memory_bytes = kMiB;
  TestServer server({}, config);
  server.model().Hold();
  Answer open;
  std::jthread client([&] { open = Ask(*server.Inference(), IdRequest(5, 50)); });
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  const grpc::Status refused = Ask(*server.Inference(), TextRequest(std::string(200'000, 'a'), 1)).status;
  CHECK(refused.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(HasRetry(refused));
  CHECK_THAT(refused.error_message(), Catch::Contains("the memory for requests is full"));
  v1::TokenizeRequest tokenize;
  tokenize.set_text(std::string(200'000, 'a'));
  grpc::ClientContext context;
  v1::TokenizeResponse ignored;
  const grpc::Status also = server.Inference()->Tokenize(&context, tokenize, &ignored);
  CHECK(also.error_code() == grpc::RESOURCE_EXHAUSTED);
  CHECK(HasRetry(also));
  server.model().Release();
  client.join();
  CHECK(open.status.ok());
  CHECK(open.tokens.size() == 50);
  server.WaitFor([](const auto& status) { return status.request_memory() == 0; });
}

TEST_CASE("what is counted grows with the prompt, the answer, the stream and its alternatives") {
  Request request;
  request.prompt.assign(10, 1);
  request.sampling.max_tokens = 10;
  const uint64_t small = RunningBytes(request, 256);
  request.prompt.assign(1010, 1);
  CHECK(RunningBytes(request, 256) == small + 1000 * 2 * sizeof(int32_t));
  request.prompt.assign(10, 1);
  request.sampling.max_tokens = 1000;
  const uint64_t longer = RunningBytes(request, 256);
  CHECK(longer == small + 990 * sizeof(int32_t) + 246 * sizeof(TokenEvent));
  request.sampling.top_logprobs = 5;
  CHECK(RunningBytes(request, 256) == longer + 256 * 5 * sizeof(std::pair<int32_t, float>));
  request.sampling.prompt_logprobs = true;
  CHECK(RunningBytes(request, 256) > longer + 10 * sizeof(TokenLogprob));
}

}  // namespace
}  // namespace guildhall
