#include "server/net/connection_table.h"

#include <sys/socket.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

constexpr absl::Duration kIdleBeforeMakingRoom = absl::Seconds(1);

// What the client has sent already is thrown away and the connection ends for both sides; shutdown
// alone would have all of it served first. Whoever reads the socket sees an error.
void Disconnect(int fd) {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  connect(fd, &nobody, sizeof(nobody));
  shutdown(fd, SHUT_RDWR);
}

}  // namespace

struct ConnectionTable::Connection {
  uint64_t number = 0;
  Peer peer;
  FileDescriptor handle;
  int64_t calls = 0;
  PerKind calls_of_kind{};
  absl::Time idle_since;
  double resets_left = 0;
  absl::Time resets_counted;
  bool ending = false;
};

struct ConnectionTable::Ticket::Place {
  ConnectionTable& table;
  std::shared_ptr<Connection> connection;  // null: not known which
  CallKind kind;
};

ConnectionTable::Ticket::Ticket(std::unique_ptr<Place> place) : place_(place.release()) {}

void ConnectionTable::Ticket::Delete::operator()(Place* place) const {
  delete place;
}

void ConnectionTable::Ticket::Leave(bool reset) {
  if (place_ == nullptr) return;
  place_->table.Leave(*place_, reset);
  place_.reset();
}

ConnectionTable::ConnectionTable(const ConnectionLimits& limits, ListenerCounts& counts)
    : limits_(limits), counts_(counts), next_number_(kFirstConnection) {
  counts_.connections_most = limits.in_all;
}

absl::StatusOr<uint64_t> ConnectionTable::Add(const Peer& peer, FileDescriptor handle) {
  const absl::Time now = absl::Now();
  const std::lock_guard lock(mutex_);
  const bool full = static_cast<int64_t>(connections_.size()) - ending_ >= limits_.in_all;
  const auto of_host = hosts_.find(peer.host);
  const bool host_full = of_host != hosts_.end() && of_host->second >= limits_.per_host;
  if ((full || host_full) && !MakeRoom(peer.host, host_full, now)) {
    counts_.refused_connections.fetch_add(1, std::memory_order_relaxed);
    if (full_line_.Due()) {
      Log().warn("{}: a connection of {} is refused: the limit of {} is reached; said once a minute",
                 counts_.name, peer.host.empty() ? "a Unix socket" : peer.host,
                 full ? StrCat(limits_.in_all, " connections") : StrCat(limits_.per_host, " of one address"));
    }
    return absl::ResourceExhaustedError("the limit of connections is reached");
  }
  auto connection = std::make_shared<Connection>();
  connection->number = next_number_++;
  connection->peer = peer;
  connection->handle = std::move(handle);
  connection->idle_since = connection->resets_counted = now;
  connection->resets_left = std::max(limits_.resets_per_second, 2 * static_cast<double>(limits_.calls));
  ++hosts_[peer.host];
  if (!peer.name.empty()) by_name_[peer.name] = connection;
  connections_.emplace(connection->number, connection);
  counts_.connections.fetch_add(1, std::memory_order_relaxed);
  counts_.accepted_connections.fetch_add(1, std::memory_order_relaxed);
  return connection->number;
}

bool ConnectionTable::MakeRoom(const std::string& host, bool of_host, absl::Time now) {
  Connection* longest = nullptr;
  for (const auto& [number, connection] : connections_) {
    if (connection->ending || connection->calls > 0 || connection->peer.name.empty()) continue;
    if (of_host && connection->peer.host != host) continue;
    if (longest == nullptr || connection->idle_since < longest->idle_since) longest = connection.get();
  }
  if (longest == nullptr || now - longest->idle_since < kIdleBeforeMakingRoom) return false;
  counts_.idle_connections_closed.fetch_add(1, std::memory_order_relaxed);
  End(*longest);
  return true;
}

// The acceptor sees the socket's end and calls Remove.
void ConnectionTable::End(Connection& connection) {
  if (connection.ending) return;
  connection.ending = true;
  ++ending_;
  if (--hosts_[connection.peer.host] == 0) hosts_.erase(connection.peer.host);
  Disconnect(connection.handle.get());
}

FileDescriptor ConnectionTable::Remove(uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto at = connections_.find(number);
  if (at == connections_.end()) return FileDescriptor();
  const std::shared_ptr<Connection> connection = std::move(at->second);
  connections_.erase(at);
  if (connection->ending)
    --ending_;
  else if (--hosts_[connection->peer.host] == 0)
    hosts_.erase(connection->peer.host);
  connection->ending = true;
  // The name may be another connection's by now.
  const auto named = by_name_.find(connection->peer.name);
  if (named != by_name_.end() && named->second == connection) by_name_.erase(named);
  counts_.connections.fetch_sub(1, std::memory_order_relaxed);
  return std::move(connection->handle);
}

ConnectionTable::Ticket ConnectionTable::Enter(const std::string& peer_name, CallKind kind,
                                               absl::Status& refusal) {
  counts_.calls.fetch_add(1, std::memory_order_relaxed);
  auto place = std::make_unique<Ticket::Place>(Ticket::Place{*this, nullptr, kind});
  const std::lock_guard lock(mutex_);
  const auto at = by_name_.find(peer_name);
  if (at == by_name_.end()) return Ticket(std::move(place));
  place->connection = at->second;
  Connection& connection = *at->second;
  const int64_t of_kind = ++connection.calls_of_kind[IndexOf(kind)];
  const int64_t most_of_kind = limits_.calls_of_kind[IndexOf(kind)];
  if (++connection.calls > limits_.calls) {
    // gRPC holds those to the limit who have acknowledged it.
    Strike(connection, absl::Now());
    refusal = absl::ResourceExhaustedError(StrCat("the connection has its limit of ", limits_.calls,
                                                  " calls open (limits.streams_per_connection)"));
  } else if (of_kind > most_of_kind) {
    refusal = absl::ResourceExhaustedError(
        StrCat("the connection has its limit of ", most_of_kind, " calls of this kind open"));
  }
  if (!refusal.ok()) refusal = WithRetry(refusal, absl::Seconds(1));
  return Ticket(std::move(place));
}

void ConnectionTable::Leave(Ticket::Place& place, bool reset) {
  counts_.calls.fetch_sub(1, std::memory_order_relaxed);
  if (reset) counts_.reset_calls.fetch_add(1, std::memory_order_relaxed);
  if (place.connection == nullptr) return;
  const absl::Time now = absl::Now();
  const std::lock_guard lock(mutex_);
  Connection& connection = *place.connection;
  --connection.calls_of_kind[IndexOf(place.kind)];
  if (--connection.calls == 0) connection.idle_since = now;
  if (reset) Strike(connection, now);
}

void ConnectionTable::Strike(Connection& connection, absl::Time now) {
  if (connection.ending) return;
  const double most = std::max(limits_.resets_per_second, 2 * static_cast<double>(limits_.calls));
  const double seconds = absl::ToDoubleSeconds(now - connection.resets_counted);
  connection.resets_counted = now;
  connection.resets_left = std::min(most, connection.resets_left + seconds * limits_.resets_per_second) - 1;
  if (connection.resets_left >= 0) return;
  counts_.hostile_connections_closed.fetch_add(1, std::memory_order_relaxed);
  if (hostile_line_.Due()) {
    Log().warn(
        "{}: the connection of {} is closed: more than {} of its calls a second are reset or over its limit; "
        "said once a minute",
        counts_.name, connection.peer.host, limits_.resets_per_second);
  }
  End(connection);
}

}  // namespace guildhall
