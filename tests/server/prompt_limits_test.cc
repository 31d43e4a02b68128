// Prompts that would cost more than they may are refused before the cost, and keep nobody else waiting.
#include <sys/resource.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "tests/server/fixture.h"

namespace guildhall {
namespace {

size_t PeakBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

grpc::Status Tokenize(v1::Inference::Stub& stub, const v1::TokenizeRequest& request) {
  grpc::ClientContext context;
  v1::TokenizeResponse response;
  return stub.Tokenize(&context, request, &response);
}

std::string Words(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += "seven ate nine ";
  return text;
}

TEST_CASE("a text that cannot fit is refused by its size") {
  const TestServer server;
  const auto stub = server.Inference();
  const Answer answer = Ask(*stub, TextRequest(std::string(4'000'000, 'a'), 1));
  CHECK(answer.status.error_code() == grpc::StatusCode::OUT_OF_RANGE);
  CHECK(answer.status.error_message().find("4000000 bytes, which make at least") != std::string::npos);
  CHECK(BadField(answer.status) == "text");
  v1::TokenizeRequest request;
  request.set_text(std::string(4'000'000, 'a'));
  const grpc::Status tokenized = Tokenize(*stub, request);
  CHECK(tokenized.error_code() == grpc::StatusCode::OUT_OF_RANGE);
  CHECK(BadField(tokenized) == "text");
}

TEST_CASE("limits.prompt_bytes holds for text and for what a template makes of messages") {
  ServerConfig config = TestConfig();
  config.limits.prompt_bytes = 100;
  const TestServer server({}, config);
  const auto stub = server.Inference();
  CHECK(Ask(*stub, TextRequest(Words(90).substr(0, 100), 1)).status.ok());
  const Answer text = Ask(*stub, TextRequest(Words(101).substr(0, 101), 1));
  CHECK(text.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(text.status.error_message().find("limits.prompt_bytes is 100") != std::string::npos);
  v1::GenerateRequest chat = IdRequest(5, 1);
  auto* message = chat.mutable_chat()->add_messages();
  message->set_role("user");
  message->set_content(Words(101));
  const Answer rendered = Ask(*stub, chat);
  CHECK(rendered.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(BadField(rendered.status) == "chat");
}

std::string Keys(int count) {
  std::string json = "{";
  for (int i = 0; i < count; ++i) json += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
  return json + "}";
}

TEST_CASE("template variables cost a time in proportion, and have a number that ends") {
  const TestServer server;
  const auto stub = server.Inference();
  v1::GenerateRequest request = IdRequest(5, 1);
  auto* message = request.mutable_chat()->add_messages();
  message->set_role("user");
  message->set_content("hi");
  request.mutable_chat()->set_template_variables_json(Keys(16'000));
  const absl::Time begin = absl::Now();
  CHECK(Ask(*stub, request).status.ok());
  CHECK(absl::Now() - begin < absl::Seconds(5));
  request.mutable_chat()->set_template_variables_json(Keys(250'000));
  const Answer many = Ask(*stub, request);
  CHECK(BadField(many.status) == "chat.template_variables_json");
  CHECK(many.status.error_message().find("at most 16384 keys, found 250000") != std::string::npos);
}

#if defined(GUILDHALL_TSAN)
constexpr size_t kMostBytes = size_t{2800} << 20;  // the sanitizer keeps more beside every byte
#else
constexpr size_t kMostBytes = size_t{700} << 20;
#endif

TEST_CASE("long prompts of many clients keep a short one waiting for none of them") {
  const TestServer server(EndlessModel());
  const auto stub = server.Inference();
  const v1::GenerateRequest small = TextRequest("seven ate nine", 4);
  const Answer alone = Ask(*stub, small);
  REQUIRE(alone.status.ok());
  const size_t before = PeakBytes();
  const std::string text = Words(3'900'000);
  std::atomic<int> ended = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 12; ++i) {
    clients.emplace_back([&] {
      Ask(*server.Inference(), TextRequest(text, 1), absl::Milliseconds(1500));
      ++ended;
    });
  }
  int asked = 0;
  bool same = true;
  absl::Duration longest;
  while (ended < 12) {
    const absl::Time begin = absl::Now();
    const Answer answer = Ask(*stub, small);
    longest = std::max(longest, absl::Now() - begin);
    same = same && answer.status.ok() && answer.tokens == alone.tokens;
    ++asked;
  }
  for (std::thread& client : clients) client.join();
  CHECK(same);
  CHECK(asked > 0);
  CHECK(longest < absl::Seconds(5));  // milliseconds on a machine that is not loaded
  CHECK(PeakBytes() - before < kMostBytes);
}

}  // namespace
}  // namespace guildhall
