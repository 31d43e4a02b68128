// HTTP/2 by hand, against bytes of RFC 9113 and RFC 7541, and over a socket whose other end is the test.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "base/check.h"
#include "tests/support/http2_client.h"
#include "tests/support/temp_folder.h"

namespace guildhall::http2 {
namespace {

std::string Bytes(std::initializer_list<int> values) {
  return {values.begin(), values.end()};
}

// Listens on a Unix socket, accepts one client and does what the test says.
class Peer {
 public:
  Peer() : listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (folder_ / "socket").c_str());
    GH_CHECK_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    GH_CHECK_EQ(listen(listener_, 1), 0);
    auto client = Client::Connect("unix:" + folder_ / "socket",
                                  {.patience = std::chrono::milliseconds(100), .source = ""});
    GH_CHECK(client.ok());
    client_ = *std::move(client);
    fd_ = accept(listener_, nullptr, nullptr);
    GH_CHECK_GE(fd_, 0);
  }
  ~Peer() {
    Close();
    close(listener_);
  }

  Client& client() { return *client_; }
  void Write(const std::string& bytes) const {
    GH_CHECK_EQ(write(fd_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  // What the client has sent so far.
  std::string Read() const {
    std::string bytes(1 << 20, '\0');
    const ssize_t got = recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    return bytes.substr(0, got < 0 ? 0 : static_cast<size_t>(got));
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  TempFolder folder_;
  int listener_;
  int fd_ = -1;
  std::unique_ptr<Client> client_;
};

constexpr Client::Duration kSoon{2000};

}  // namespace

TEST_CASE("frames have the bytes of RFC 9113") {
  CHECK(Settings() == Bytes({0, 0, 0, 4, 0, 0, 0, 0, 0}));
  CHECK(Settings({{kInitialWindowSize, 1}}) == Bytes({0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1}));
  CHECK(Reset(3, kCancel) == Bytes({0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 8}));
  CHECK(Message("ab") == Bytes({0, 0, 0, 0, 2, 'a', 'b'}));
  CHECK(ReadNumber(Number(0xfedcba98)) == 0xfedcba98);
}

TEST_CASE("a block of headers is literals, and what is over a frame goes on in CONTINUATION") {
  CHECK(HeaderBlock({{"te", "trailers"}}) == Bytes({0, 2, 't', 'e', 8}) + "trailers");
  // RFC 7541, C.1.2: 1337 with a prefix of 5 bits; with one of 7 it is 127, then 1210 = 0b1001'0111010.
  CHECK(HeaderBlock({{"a", std::string(1337, 'x')}}) ==
        Bytes({0, 1, 'a', 127, 0b10111010, 9}) + std::string(1337, 'x'));
  const std::string block(kFramePayload + 1, 'h');
  CHECK(Headers(1, block, true) == Frame(FrameType::kHeaders, kEndStream, 1, block.substr(1)) +
                                       Frame(FrameType::kContinuation, kEndHeaders, 1, "h"));
}

TEST_CASE("a client acknowledges settings and answers pings, unless it is told not to") {
  Peer polite, silent;
  REQUIRE(polite.client().Begin());
  REQUIRE(silent.client().Begin({}, false));
  for (Peer* peer : {&polite, &silent}) {
    CHECK(peer->Read() == std::string(kPreface) + Settings());
    peer->Write(Settings({{kInitialWindowSize, 10}}) + Ping());
    CHECK(peer->client().Receive(kSoon)->type == FrameType::kSettings);
    CHECK(peer->client().Receive(kSoon)->type == FrameType::kPing);
  }
  CHECK(polite.Read() == SettingsAck() + Frame(FrameType::kPing, kAck, 0, "guildhal"));
  CHECK(silent.Read().empty());
}

TEST_CASE("data waits for the peer's windows") {
  Peer peer;
  peer.client().Begin();
  peer.Write(Settings({{kInitialWindowSize, 4}}));
  peer.client().Receive(kSoon);
  const uint32_t stream = peer.client().Open("/service/Call");
  peer.Read();
  CHECK_FALSE(peer.client().SendData(stream, "seventh"));  // of the ones that fit
  CHECK(peer.Read() == Frame(FrameType::kData, 0, stream, "seve"));
  peer.Write(WindowUpdate(stream, 3));
  CHECK(peer.client().SendData(stream, "nth"));
  CHECK(peer.Read() == Frame(FrameType::kData, kEndStream, stream, "nth"));
}

TEST_CASE(
    "a call that ends before its data are sent has its end read, not the time of the windows waited for") {
  Peer peer;
  peer.client().Begin();
  peer.Write(Settings({{kInitialWindowSize, 4}}));
  peer.client().Receive(kSoon);
  const uint32_t stream = peer.client().Open("/service/Call");
  peer.Write(Headers(stream, HeaderBlock({{"grpc-status", "12"}}), true));
  CHECK_FALSE(peer.client().SendData(stream, "seventh"));
  CHECK(peer.client().Await(stream, kSoon).status == 12);
}

TEST_CASE("the end of a call is a status, a reset, or a connection that is gone") {
  Peer peer;
  peer.client().Begin();
  const uint32_t first = peer.client().Call("/service/Call", "request");
  const uint32_t second = peer.client().Call("/service/Call", "request");
  const uint32_t third = peer.client().Call("/service/Call", "request");
  peer.Write(Frame(FrameType::kHeaders, kEndHeaders, first, HeaderBlock({{":status", "200"}})) +
             Frame(FrameType::kData, 0, first, Message("answer")) +
             Headers(first, HeaderBlock({{"grpc-status", "8"}, {"grpc-message", "enough"}}), true) +
             Reset(second, kRefusedStream));
  const CallEnd end = peer.client().Await(first, kSoon);
  CHECK(end.status == 8);
  CHECK(end.message == "enough");
  CHECK(end.data == Message("answer"));
  CHECK(peer.client().Await(second, kSoon).reset == kRefusedStream);
  peer.Write(Frame(FrameType::kGoAway, 0, 0, Number(third) + Number(kEnhanceYourCalm)));
  peer.Close();
  const CallEnd last = peer.client().Await(third, kSoon);
  CHECK(last.goaway == kEnhanceYourCalm);
  CHECK(last.closed);
  CHECK_FALSE(peer.client().Send(Ping()));
}

}  // namespace guildhall::http2
