// Attacks by what a call carries.
#include <zlib.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/check.h"
#include "base/str_cat.h"
#include "tests/attacks/attack_functions.h"
#include "tests/attacks/attacker.h"

namespace guildhall::attacks {
namespace {

constexpr int kInvalidArgument = 3, kUnimplemented = 12;

// `mebibytes` of zeros as gzip writes them.
std::string GzipOfZeros(int mebibytes) {
  z_stream stream{};
  constexpr int kGzipHeader = 16;
  GH_CHECK_EQ(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + kGzipHeader, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string zeros(size_t{1} << 20, '\0'), packed, part(size_t{1} << 16, '\0');
  for (int i = 0; i <= mebibytes; ++i) {
    const bool last = i == mebibytes;
    stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
    stream.avail_in = last ? 0 : static_cast<uInt>(zeros.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(part.data());
      stream.avail_out = static_cast<uInt>(part.size());
      deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH);
      packed.append(part, 0, part.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  }
  deflateEnd(&stream);
  return packed;
}

// Calls one after another, each on a connection of its own, whose end must be `expected`.
template <typename Send>
Tally ExpectStatus(const Target& target, int size, int expected, Send send) {
  Tally tally{{size, "calls"}, {0, "calls"}, {}};
  for (int i = 0; i < size; ++i) {
    const auto client = ReachHttp2(target);
    http2::CallEnd end;
    end.closed = client == nullptr;
    if (client != nullptr) end = client->Await(send(*client));
    if (!end.ok()) ++tally.refused.number;
    if ((target.front ? end.ok() : end.status != expected) && tally.wrong.empty())
      tally.wrong.push_back(StrCat("expected status ", expected, ", found ", end.Text(), " ", end.message));
  }
  return tally;
}

// Literals that enter the peer's table (0x40), then references to the newest entry (0x80 | 62).
std::string TableBomb(int references) {
  std::string entry = http2::HeaderBlock({{"x-bomb", std::string(3900, 'b')}});
  entry[0] = 0x40;
  return http2::HeaderBlock(http2::CallFields(kGenerate)) + entry +
         std::string(static_cast<size_t>(references), '\xbe');
}

// Over limits.metadata_bytes: many small entries, some larger ones, one that is over it by itself.
http2::Fields LargeMetadata(int kind) {
  constexpr int kEntries[] = {120, 12, 1, 100, 20};
  constexpr size_t kBytes[] = {100, 1000, 9000, 1000, 4000};
  http2::Fields metadata;
  for (int i = 0; i < kEntries[kind % 5]; ++i)
    metadata.emplace_back(StrCat("x-", i), std::string(kBytes[kind % 5], 'a'));
  return metadata;
}

// The streams of a connection, of which `calls` end in any order, that ended with status 0.
std::set<uint32_t> AwaitAll(http2::Client& client, size_t calls) {
  std::set<uint32_t> succeeded, ended;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (ended.size() < calls && !client.closed() && std::chrono::steady_clock::now() < until) {
    const auto frame = client.Receive(std::chrono::milliseconds(100));
    if (!frame.has_value() || frame->stream == 0) continue;
    const bool trailers =
        frame->type == http2::FrameType::kHeaders && (frame->flags & http2::kEndStream) != 0;
    if (trailers || frame->type == http2::FrameType::kReset) ended.insert(frame->stream);
    const http2::Field ok("grpc-status", "0");
    if (std::count(frame->fields.begin(), frame->fields.end(), ok) > 0) succeeded.insert(frame->stream);
  }
  return succeeded;
}

}  // namespace

Tally GzipBomb(const Target& target, int size) {
  const std::string bomb = http2::Message(GzipOfZeros(size), true);
  return ExpectStatus(target, 4, kUnimplemented, [&](http2::Client& client) {
    const uint32_t stream = client.Open(kTokenize, {{"grpc-encoding", "gzip"}});
    client.SendData(stream, bomb);
    return stream;
  });
}

Tally Metadata(const Target& target, int size) {
  const auto client = ReachHttp2(target);
  if (client == nullptr) return {{size, "calls"}, {size, "calls"}, {}};
  const uint32_t neighbour = client->Call(kGenerate, LongRequest(300));
  for (int i = 0; i < size; ++i) client->Call(kGenerate, ShortRequest(), LargeMetadata(i));
  const std::set<uint32_t> succeeded = AwaitAll(*client, static_cast<size_t>(size) + 1);
  const int64_t others = static_cast<int64_t>(succeeded.size() - succeeded.count(neighbour));
  Tally tally{{size, "calls"}, {size - others, "calls"}, {}};
  if (!succeeded.contains(neighbour)) tally.wrong.push_back("another call on the same connection was lost");
  return tally;
}

Tally HeaderBomb(const Target& target, int size) {
  Tally tally{{size, "MiB of headers"}, {0, "connections"}, {}};
  constexpr int kPerConnection = 64;
  for (int left = size; left > 0; left -= kPerConnection) {
    const auto client = ReachHttp2(target);
    const int references = std::min(left, kPerConnection) * (1 << 20) / 3906;
    if (client == nullptr || !client->Send(http2::Headers(1, TableBomb(references))) ||
        !client->SendData(1, http2::Message(ShortRequest())) ||
        !client->Await(1, std::chrono::seconds(5)).ok()) {
      ++tally.refused.number;
    }
  }
  return tally;
}

Tally UnsentMessages(const Target& target, int size) {
  std::vector<std::unique_ptr<http2::Client>> held;
  for (int i = 0; i < size; ++i) {
    auto client = ReachHttp2(target);
    if (client == nullptr) continue;
    const uint32_t stream = client->Open(kGenerate);
    const uint32_t declared = i % 2 == 0 ? uint32_t{4} << 20 : UINT32_MAX;
    client->SendData(stream, std::string(1, '\0') + http2::Number(declared) + std::string(15'000, 'a'),
                     false);
    held.push_back(std::move(client));
  }
  std::this_thread::sleep_for(target.hold);
  int64_t refused = size - static_cast<int64_t>(held.size());
  for (const auto& client : held) {
    const http2::CallEnd end = client->Await(1, std::chrono::milliseconds(1));
    if (end.status.has_value() || end.reset.has_value() || end.closed) ++refused;
  }
  return {{size, "calls"}, {refused, "calls"}, {}};
}

Tally NoMessage(const Target& target, int size) {
  return ExpectStatus(target, size, kInvalidArgument,
                      [](http2::Client& client) { return client.Open(kTokenize, {}, true); });
}

Tally TwoMessages(const Target& target, int size) {
  return ExpectStatus(target, size, kInvalidArgument, [](http2::Client& client) {
    const uint32_t stream = client.Open(kTokenize);
    client.SendData(stream, http2::Message(ShortRequest()) + http2::Message(ShortRequest()));
    return stream;
  });
}

}  // namespace guildhall::attacks
