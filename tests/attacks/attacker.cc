#include "tests/attacks/attacker.h"

#include <algorithm>

#include "guildhall/v1/inference.pb.h"

namespace guildhall::attacks {

std::unique_ptr<http2::Client> Reach(const Target& target) {
  const bool loopback = target.address.starts_with("127.");
  auto client = http2::Client::Connect(
      target.address, {.patience = std::chrono::seconds(2), .source = loopback ? "127.0.0.2" : ""});
  return client.ok() ? *std::move(client) : nullptr;
}

std::unique_ptr<http2::Client> ReachHttp2(const Target& target) {
  auto client = Reach(target);
  if (client != nullptr) client->Begin();
  return client;
}

std::string ShortRequest() {
  v1::GenerateRequest request;
  request.set_task("numbers");
  request.set_text("forty-two");
  return request.SerializeAsString();
}

std::string LongRequest(int64_t tokens) {
  v1::GenerateRequest request;
  request.set_text("count");
  request.mutable_sampling()->set_max_tokens(tokens);
  request.mutable_sampling()->set_ignore_eos(true);
  return request.SerializeAsString();
}

int64_t CountClosed(const std::vector<std::unique_ptr<http2::Client>>& clients) {
  return std::count_if(clients.begin(), clients.end(),
                       [](const auto& client) { return client->AwaitClose(std::chrono::milliseconds(1)); });
}

}  // namespace guildhall::attacks
