// Attacks by connections that do nothing, or nothing sensible.
#include <random>
#include <thread>

#include "tests/attacks/attack_functions.h"
#include "tests/attacks/attacker.h"

namespace guildhall::attacks {
namespace {

// Opens `size` connections, sends `bytes` on each and holds them.
Tally HoldConnections(const Target& target, int size, std::string_view bytes) {
  std::vector<std::unique_ptr<http2::Client>> held;
  for (int i = 0; i < size; ++i) {
    auto client = Reach(target);
    if (client == nullptr) continue;
    client->Send(bytes);
    held.push_back(std::move(client));
  }
  std::this_thread::sleep_for(target.hold);
  const int64_t unreached = size - static_cast<int64_t>(held.size());
  return {{size, "connections"}, {unreached + CountClosed(held), "connections"}, {}};
}

// Opens `size` connections one after another, sends `bytes(i)` on each and goes away.
template <typename Bytes>
Tally SendAndLeave(const Target& target, int size, Bytes bytes) {
  int64_t refused = 0;
  for (int i = 0; i < size; ++i) {
    const auto client = Reach(target);
    if (client == nullptr || !client->Send(bytes(i))) ++refused;
    if (client != nullptr && i % 2 == 1) client->Vanish();
  }
  return {{size, "connections"}, {refused, "connections"}, {}};
}

std::string Garbage(int seed, size_t bytes) {
  std::mt19937 random(static_cast<uint32_t>(seed));
  std::string garbage(bytes, '\0');
  for (char& byte : garbage) byte = static_cast<char>(random());
  return garbage;
}

}  // namespace

Tally SilentConnections(const Target& target, int size) {
  return HoldConnections(target, size, "");
}

Tally HalfPrefaces(const Target& target, int size) {
  return HoldConnections(target, size, http2::kPreface.substr(0, 3));
}

Tally IdleConnections(const Target& target, int size) {
  return HoldConnections(target, size,
                         std::string(http2::kPreface) + http2::Settings() + http2::SettingsAck());
}

Tally OtherProtocols(const Target& target, int size) {
  return SendAndLeave(target, size, [](int i) {
    if (i % 3 == 0) return std::string("GET / HTTP/1.1\r\nHost: guildhall\r\n\r\n");
    if (i % 3 == 1) return "\x16\x03\x01\x02" + Garbage(i, 512);  // like a TLS hello
    return Garbage(i, 500);
  });
}

Tally GarbledHeaders(const Target& target, int size) {
  return SendAndLeave(target, size, [](int i) {
    return std::string(http2::kPreface) + http2::Settings() + http2::Headers(1, Garbage(i, 2000));
  });
}

}  // namespace guildhall::attacks
