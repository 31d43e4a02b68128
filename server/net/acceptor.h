// Accepts the connections of one listener on a thread of its own and hands them to whoever
// speaks their protocol.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/once_per_minute.h"
#include "server/listener_counts.h"
#include "server/net/connection_table.h"
#include "server/net/file_descriptor.h"
#include "server/net/listen_socket.h"

namespace guildhall {

// Never dies and never spins: without descriptors or memory it turns a connection away with one
// that it has in reserve, counts it, and goes on after a pause.
class Acceptor {
 public:
  // Owns the connection from then on: not blocking, closed on exec. It shuts the socket down before
  // it closes it.
  using HandOver = std::function<void(int fd)>;
  // Called about once a second.
  using Tick = std::function<void()>;

  // RESOURCE_EXHAUSTED where the system has no descriptor for it. The table and the counts outlive it.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Start(ListenSockets sockets, ConnectionTable& connections,
                                                         ListenerCounts& counts, HandOver hand_over,
                                                         Tick tick);
  ~Acceptor();  // open connections stay

  // Nobody can connect any more, within a moment; open connections are watched on.
  void StopListening();

  int port() const { return sockets_.port; }

 private:
  Acceptor(ListenSockets sockets, ConnectionTable& connections, ListenerCounts& counts, HandOver hand_over,
           Tick tick)
      : sockets_(std::move(sockets)),
        connections_(connections),
        counts_(counts),
        hand_over_(std::move(hand_over)),
        tick_(std::move(tick)) {}

  absl::Status Open();
  bool Watch(int fd, uint32_t events, uint64_t number) const;
  void Run();
  void AcceptFrom(int listening);
  void LetIn(FileDescriptor fd, const Peer& peer);
  void TurnAway(int listening);
  void Forget(uint64_t number);
  void Wake() const;

  ListenSockets sockets_;  // the thread's, but for the port
  ConnectionTable& connections_;
  ListenerCounts& counts_;
  const HandOver hand_over_;
  const Tick tick_;
  OncePerMinute failure_line_;
  FileDescriptor epoll_, wake_, reserve_;
  std::atomic<bool> listens_{true}, ends_{false};
  std::thread thread_;
};

}  // namespace guildhall
