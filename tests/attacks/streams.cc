// Attacks by calls that are begun and never ended.
#include <algorithm>
#include <set>
#include <thread>

#include "tests/attacks/attack_functions.h"
#include "tests/attacks/attacker.h"

namespace guildhall::attacks {
namespace {

constexpr int kStreamsPerConnection = 100;

using SettingsList = std::vector<std::pair<uint16_t, uint32_t>>;

struct HeldCalls {
  std::string_view method;
  std::string request;         // a message; empty: none is ever sent
  SettingsList settings = {};  // of the attacker
  bool acknowledge = true;     // the server's settings
  http2::Fields metadata = {};
};

// Of so many streams on a connection, those that the peer has ended, as far as it has said so by now.
int64_t CountEnded(http2::Client& client, int streams) {
  std::set<uint32_t> ended;
  while (const auto frame = client.Receive(std::chrono::milliseconds(20))) {
    const bool last = frame->type == http2::FrameType::kHeaders && (frame->flags & http2::kEndStream) != 0;
    if (last || frame->type == http2::FrameType::kReset) ended.insert(frame->stream);
  }
  return client.closed() ? streams : static_cast<int64_t>(ended.size());
}

Tally HoldCalls(const Target& target, int size, const HeldCalls& calls) {
  std::vector<std::pair<std::unique_ptr<http2::Client>, int>> held;
  int64_t refused = 0;
  for (int left = size; left > 0; left -= kStreamsPerConnection) {
    const int streams = std::min(left, kStreamsPerConnection);
    auto client = Reach(target);
    if (client == nullptr || !client->Begin(calls.settings, calls.acknowledge)) {
      refused += streams;
      continue;
    }
    for (int i = 0; i < streams; ++i) {
      const uint32_t stream = client->Open(calls.method, calls.metadata);
      if (!calls.request.empty()) client->SendData(stream, http2::Message(calls.request));
    }
    held.emplace_back(std::move(client), streams);
  }
  std::this_thread::sleep_for(target.hold);
  for (const auto& [client, streams] : held) refused += CountEnded(*client, streams);
  return {{size, "calls"}, {refused, "calls"}, {}};
}

}  // namespace

Tally IdleReflection(const Target& target, int size) {
  return HoldCalls(target, size, {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ""});
}

Tally HealthWatches(const Target& target, int size) {
  // HealthCheckRequest{service: "readiness"}
  return HoldCalls(target, size, {"/grpc.health.v1.Health/Watch", "\x0a\x09readiness"});
}

Tally IdleGenerate(const Target& target, int size) {
  return HoldCalls(target, size, {kGenerate, ""});
}

Tally ClosedWindows(const Target& target, int size) {
  return HoldCalls(target, size, {kGenerate, LongRequest(900), {{http2::kInitialWindowSize, 0}}});
}

Tally UnacknowledgedSettings(const Target& target, int size) {
  HeldCalls calls{kGenerate, ShortRequest()};
  calls.acknowledge = false;
  calls.metadata = {{"x-filler", std::string(60'000, 'a')}};
  return HoldCalls(target, size, calls);
}

}  // namespace guildhall::attacks
