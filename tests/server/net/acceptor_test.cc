// Connections that come, wait, and are turned away, over real sockets and without a protocol.
#include "server/net/acceptor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <mutex>
#include <vector>

#include "absl/time/clock.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

ListenOptions Local() {
  ListenOptions options;
  options.address.host = "127.0.0.1";
  options.key = "server.listen";
  return options;
}

// Holds what is handed over, as gRPC would.
class Room {
 public:
  explicit Room(const ConnectionLimits& limits) : table_(limits, counts_) {
    auto sockets = Listen(Local());
    REQUIRE(sockets.ok());
    auto acceptor = Acceptor::Start(
        *std::move(sockets), table_, counts_,
        [this](int fd) {
          const std::lock_guard lock(mutex_);
          held_.emplace_back(fd);
        },
        [] {});
    REQUIRE(acceptor.ok());
    acceptor_ = *std::move(acceptor);
  }

  sockaddr_in Address() const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(acceptor_->port()));
    return address;
  }
  FileDescriptor Client() const {
    FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    Connect(fd);
    return fd;
  }
  void Connect(const FileDescriptor& fd) const {
    const sockaddr_in address = Address();
    REQUIRE(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  }
  void ShutDownHeld() {
    const std::lock_guard lock(mutex_);
    for (const FileDescriptor& fd : held_) shutdown(fd.get(), SHUT_RDWR);
    held_.clear();
  }
  ConnectionTable& table() { return table_; }
  ListenerCounts& counts() { return counts_; }

 private:
  ListenerCounts counts_{"requests"};
  ConnectionTable table_;
  std::mutex mutex_;
  std::vector<FileDescriptor> held_;
  std::unique_ptr<Acceptor> acceptor_;
};

void Await(const std::function<bool()>& done) {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!done()) {
    REQUIRE(absl::Now() < deadline);
    absl::SleepFor(absl::Milliseconds(2));
  }
}

bool ClosedByServer(const FileDescriptor& client) {
  pollfd at{client.get(), POLLIN, 0};
  char byte;
  return poll(&at, 1, 0) > 0 && recv(client.get(), &byte, 1, MSG_DONTWAIT) <= 0;
}

std::string NameOf(const FileDescriptor& client) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  REQUIRE(getsockname(client.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return PeerOf(address).name;
}

ConnectionLimits Few(int64_t connections) {
  ConnectionLimits limits;
  limits.in_all = limits.per_host = connections;
  limits.calls = 10;
  limits.calls_of_kind.fill(10);
  limits.resets_per_second = 5;
  return limits;
}

}  // namespace

TEST_CASE("a connection is counted until its socket is shut down, whoever holds it") {
  Room room(Few(8));
  const FileDescriptor client = room.Client();
  Await([&] { return room.counts().connections == 1; });
  room.ShutDownHeld();
  Await([&] { return room.counts().connections == 0; });
  Await([&] { return ClosedByServer(client); });
  CHECK(room.counts().accepted_connections == 1);
}

TEST_CASE("at the limit a new connection is closed at once, and later takes the place of an idle one") {
  Room room(Few(2));
  std::vector<FileDescriptor> first;
  for (int i = 0; i < 2; ++i) first.push_back(room.Client());
  Await([&] { return room.counts().connections == 2; });
  absl::Status refusal;
  const auto call = room.table().Enter(NameOf(first[0]), CallKind::kGenerate, refusal);
  CHECK(refusal.ok());
  const FileDescriptor early = room.Client();
  Await([&] { return ClosedByServer(early); });
  CHECK(room.counts().refused_connections == 1);
  // After a second without a call the second one makes room; the first one has a call.
  Await([&] {
    const FileDescriptor later = room.Client();
    return room.counts().idle_connections_closed == 1;
  });
  Await([&] { return ClosedByServer(first[1]); });
  CHECK_FALSE(ClosedByServer(first[0]));
}

TEST_CASE("one address leaves room to the others") {
  ConnectionLimits limits = Few(8);
  limits.per_host = 1;
  Room room(limits);
  const FileDescriptor first = room.Client();
  Await([&] { return room.counts().connections == 1; });
  const FileDescriptor second = room.Client();
  Await([&] { return ClosedByServer(second); });
  CHECK_FALSE(ClosedByServer(first));
}

TEST_CASE("a connection that resets call after call is closed, one that does so now and then is not") {
  Room room(Few(8));
  const FileDescriptor hostile = room.Client(), innocent = room.Client();
  Await([&] { return room.counts().connections == 2; });
  absl::Status refusal;
  for (int i = 0; i < 15; ++i) {
    room.table().Enter(NameOf(innocent), CallKind::kGenerate, refusal).Leave(/*reset=*/true);
  }
  for (int i = 0; i < 40; ++i) {
    room.table().Enter(NameOf(hostile), CallKind::kGenerate, refusal).Leave(/*reset=*/true);
  }
  CHECK(refusal.ok());
  Await([&] { return ClosedByServer(hostile); });
  Await([&] { return room.counts().connections == 1; });
  CHECK_FALSE(ClosedByServer(innocent));
  CHECK(room.counts().hostile_connections_closed == 1);
  CHECK(room.counts().reset_calls == 55);
  CHECK(room.counts().calls == 0);
}

TEST_CASE("calls of one connection are limited, by kind and in all, and those of another are not meant") {
  ConnectionLimits limits = Few(8);
  limits.calls_of_kind[IndexOf(CallKind::kWatch)] = 1;
  Room room(limits);
  const FileDescriptor one = room.Client(), other = room.Client();
  Await([&] { return room.counts().connections == 2; });
  std::vector<ConnectionTable::Ticket> open;
  const auto enter = [&](const FileDescriptor& client, CallKind kind) {
    absl::Status refusal;
    open.push_back(room.table().Enter(NameOf(client), kind, refusal));
    return refusal;
  };
  CHECK(enter(one, CallKind::kWatch).ok());
  CHECK(absl::IsResourceExhausted(enter(one, CallKind::kWatch)));
  CHECK(enter(other, CallKind::kWatch).ok());
  for (int i = 0; i < 8; ++i) CHECK(enter(one, CallKind::kQuery).ok());
  CHECK(absl::IsResourceExhausted(enter(one, CallKind::kQuery)));
  CHECK(room.counts().calls == 12);
  open.clear();
  CHECK(room.counts().calls == 0);
  CHECK(enter(one, CallKind::kQuery).ok());
}

TEST_CASE("without descriptors connections are turned away, and accepted again when there are some") {
#if defined(__SANITIZE_ADDRESS__)
  return;  // the other sanitizer of that build opens pipes to look at objects' types
#endif
  Room room(Few(1000));
  std::vector<FileDescriptor> clients(8);
  for (FileDescriptor& client : clients)
    client = FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit limits{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limits) == 0);
  rlimit none = limits;
  // The first that is free is beyond the limit; the reserve keeps its place below.
  none.rlim_cur = static_cast<rlim_t>(FileDescriptor(dup(0)).get());
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  for (const FileDescriptor& client : clients) room.Connect(client);
  Await([&] { return room.counts().accept_failures >= 8; });
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limits) == 0);
  for (const FileDescriptor& client : clients) Await([&] { return ClosedByServer(client); });
  const FileDescriptor later = room.Client();
  Await([&] { return room.counts().connections == 1; });
}

TEST_CASE("a port has one listener, and both families behind 0.0.0.0") {
  auto first = Listen(Local());
  REQUIRE(first.ok());
  ListenOptions same = Local();
  same.address.port = first->port;
  CHECK(Listen(same).status().code() == absl::StatusCode::kFailedPrecondition);
  same.address.host = "0.0.0.0";
  CHECK_FALSE(Listen(same).ok());
  same.address.port = 0;
  CHECK(Listen(same).ok());
  same.address.host = "no.such.host.invalid";
  CHECK(Listen(same).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a Unix socket has its mode before anybody can connect, and takes over a dead one only") {
  const TempFolder folder;
  ListenOptions options = Local();
  options.address = {};
  options.address.unix_path = folder.path() + "/socket";
  const auto first = Listen(options);
  REQUIRE(first.ok());
  struct stat info {};
  REQUIRE(stat(options.address.unix_path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0660);
  CHECK_THAT(std::string(Listen(options).status().message()), Catch::Contains("in use"));
  options.address.unix_path = folder.path() + "/other";
  options.socket_group = "no-such-group";
  CHECK_THAT(std::string(Listen(options).status().message()), Catch::Contains("no group \"no-such-group\""));
  CHECK_FALSE(stat(options.address.unix_path.c_str(), &info) == 0);
}

TEST_CASE("peers have the names that gRPC gives them") {
  const auto named = [](const char* text, int port) {
    sockaddr_storage storage{};
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(port));
    REQUIRE(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    return PeerOf(storage);
  };
  CHECK(named("::1", 9).name == "ipv6:%5B::1%5D:9");
  CHECK(named("::1", 9).host == "::1");
  CHECK(named("::ffff:10.0.0.7", 4711).name == "ipv4:10.0.0.7:4711");
  CHECK(PeerOf({}).name.empty());
}

}  // namespace guildhall
