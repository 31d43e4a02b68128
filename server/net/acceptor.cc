#include "server/net/acceptor.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "base/thread_name.h"

namespace guildhall {
namespace {

constexpr uint64_t kWake = 0;  // listening sockets follow, from 1 on; connections begin at kFirstConnection
constexpr absl::Duration kPause = absl::Milliseconds(50);
constexpr int kTickMs = 1000;
constexpr int kAtOnce = 64;  // accepted before anything else is looked at

FileDescriptor Reserve() {
  return FileDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// What ends one connection that was about to be accepted is no reason to wait.
bool OfTheConnection(int error) {
  return error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM || error == ENETDOWN ||
         error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH || error == ENETUNREACH;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Start(ListenSockets sockets, ConnectionTable& connections,
                                                          ListenerCounts& counts, HandOver hand_over,
                                                          Tick tick) {
  std::unique_ptr<Acceptor> acceptor(
      new Acceptor(std::move(sockets), connections, counts, std::move(hand_over), std::move(tick)));
  GH_RETURN_IF_ERROR(acceptor->Open());
  acceptor->thread_ = std::thread([raw = acceptor.get()] { raw->Run(); });
  return acceptor;
}

Acceptor::~Acceptor() {
  if (!thread_.joinable()) return;
  ends_ = true;
  Wake();
  thread_.join();
}

void Acceptor::StopListening() {
  listens_ = false;
  Wake();
}

// Nobody reads it: each change wakes once.
void Acceptor::Wake() const {
  const uint64_t one = 1;
  while (write(wake_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

absl::Status Acceptor::Open() {
  epoll_ = FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
  wake_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  reserve_ = Reserve();
  bool watched = reserve_.valid() && Watch(wake_.get(), EPOLLIN | EPOLLET, kWake);
  for (size_t i = 0; i < sockets_.sockets.size(); ++i) {
    watched = watched && Watch(sockets_.sockets[i].get(), EPOLLIN, i + 1);
  }
  if (watched) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      StrCat("the listener ", counts_.name, " cannot start: ", std::strerror(errno), "; see ulimit -n"));
}

bool Acceptor::Watch(int fd, uint32_t events, uint64_t number) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = number;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Acceptor::Run() {
  NameThread("acceptor");
  std::array<epoll_event, 64> events;
  absl::Time next_tick = absl::Now();
  while (!ends_) {
    if (!listens_) sockets_.sockets.clear();
    const int ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), kTickMs);
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      if (event.data.u64 >= kFirstConnection) {
        // The end of both directions; an error alone may pass.
        if ((event.events & EPOLLHUP) != 0) Forget(event.data.u64);
      } else if (event.data.u64 != kWake) {
        AcceptFrom(sockets_.sockets[event.data.u64 - 1].get());
      }
    }
    if (absl::Now() < next_tick) continue;
    next_tick = absl::Now() + absl::Milliseconds(kTickMs);
    tick_();
  }
}

void Acceptor::AcceptFrom(int listening) {
  for (int i = 0; i < kAtOnce; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    FileDescriptor fd(
        accept4(listening, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.valid()) {
      LetIn(std::move(fd), PeerOf(address));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (!OfTheConnection(errno)) {
      return TurnAway(listening);
    }
  }
}

void Acceptor::LetIn(FileDescriptor fd, const Peer& peer) {
  FileDescriptor handle(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!handle.valid()) {
    counts_.accept_failures.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const int watched = handle.get();
  const absl::StatusOr<uint64_t> number = connections_.Add(peer, std::move(handle));
  if (!number.ok()) return;
  // Told once, when the socket is dead in both directions.
  if (Watch(watched, EPOLLET, *number)) return hand_over_(fd.Release());
  counts_.accept_failures.fetch_add(1, std::memory_order_relaxed);
  connections_.Remove(*number);
}

void Acceptor::TurnAway(int listening) {
  const int error = errno;
  counts_.accept_failures.fetch_add(1, std::memory_order_relaxed);
  if (failure_line_.Due()) {
    Log().warn("{}: a connection cannot be accepted: {}; trying again (said once a minute)", counts_.name,
               std::strerror(error));
  }
  reserve_.Close();
  FileDescriptor(accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
  reserve_ = Reserve();
  absl::SleepFor(kPause);
}

// gRPC may hold the socket a moment longer: taken out of the watch by hand, for closing the
// duplicate would not.
void Acceptor::Forget(uint64_t number) {
  const FileDescriptor handle = connections_.Remove(number);
  if (handle.valid()) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, handle.get(), nullptr);
}

}  // namespace guildhall
