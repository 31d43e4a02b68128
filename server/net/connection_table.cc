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

// Behind what is on its way to the client comes the end: it closes its side, and the calls that it
// has begun meanwhile fail as those of a connection that is gone.
void EndAnswers(int fd) {
  shutdown(fd, SHUT_WR);
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
  Host* host = nullptr;              // until it is ending
  IdleOrder::Place in_all, in_host;  // likewise
};

struct ConnectionTable::Ticket::Place {
  ConnectionTable& table;
  std::shared_ptr<Connection> connection;  // null: not known which
  CallKind kind;
  bool late = false;  // came to a closed table: nothing waits for it
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

void ConnectionTable::Ticket::CountRefusal() const {
  place_->table.counts_.refused_calls.fetch_add(1, std::memory_order_relaxed);
}

ConnectionTable::ConnectionTable(const ConnectionLimits& limits, ListenerCounts& counts)
    : limits_(limits), counts_(counts), next_number_(kFirstConnection) {
  counts_.connections_most = limits.in_all;
}

absl::StatusOr<uint64_t> ConnectionTable::Add(const Peer& peer, FileDescriptor handle) {
  const absl::Time now = absl::Now();
  const std::lock_guard lock(mutex_);
  if (closed_) return absl::UnavailableError("the listener is closed");
  const bool full = static_cast<int64_t>(connections_.size()) - ending_ >= limits_.in_all;
  const auto of_host = hosts_.find(peer.host);
  const bool host_full = of_host != hosts_.end() && of_host->second.connections >= limits_.per_host;
  if ((full || host_full) && !MakeRoom(host_full ? of_host->second.order : order_, now)) {
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
  Count(*connection);
  if (!peer.name.empty()) by_name_[peer.name] = connection;
  connections_.emplace(connection->number, connection);
  counts_.connections.fetch_add(1, std::memory_order_relaxed);
  counts_.accepted_connections.fetch_add(1, std::memory_order_relaxed);
  return connection->number;
}

void ConnectionTable::Count(Connection& connection) {
  connection.host = &hosts_[connection.peer.host];
  ++connection.host->connections;
  connection.in_all = order_.Add(connection.number);
  connection.in_host = connection.host->order.Add(connection.number);
  SetIdle(connection, connection.idle_since);
}

void ConnectionTable::Uncount(Connection& connection) {
  order_.Remove(connection.in_all);
  connection.host->order.Remove(connection.in_host);
  if (--connection.host->connections == 0) hosts_.erase(connection.peer.host);
  connection.host = nullptr;
}

// Nobody knows of a connection without a name whether it is idle.
void ConnectionTable::SetIdle(Connection& connection, absl::Time now) {
  connection.idle_since = now;
  if (connection.ending || connection.peer.name.empty()) return;
  order_.SetIdle(connection.in_all);
  connection.host->order.SetIdle(connection.in_host);
}

void ConnectionTable::SetBusy(Connection& connection) {
  if (connection.ending) return;
  order_.SetBusy(connection.in_all);
  connection.host->order.SetBusy(connection.in_host);
}

bool ConnectionTable::MakeRoom(const IdleOrder& order, absl::Time now) {
  const auto longest = connections_.find(order.Longest());
  if (longest == connections_.end()) return false;
  if (now - longest->second->idle_since < kIdleBeforeMakingRoom) return false;
  counts_.idle_connections_closed.fetch_add(1, std::memory_order_relaxed);
  End(*longest->second);
  return true;
}

// The acceptor sees the socket's end and calls Remove.
void ConnectionTable::End(Connection& connection) {
  if (connection.ending) return;
  Uncount(connection);
  connection.ending = true;
  ++ending_;
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
  else
    Uncount(*connection);
  connection->ending = true;
  // The name may be another connection's by now.
  const auto named = by_name_.find(connection->peer.name);
  if (named != by_name_.end() && named->second == connection) by_name_.erase(named);
  counts_.connections.fetch_sub(1, std::memory_order_relaxed);
  if (connections_.empty()) empty_.notify_all();
  return std::move(connection->handle);
}

ConnectionTable::Ticket ConnectionTable::Enter(const std::string& peer_name, CallKind kind,
                                               absl::Status& refusal) {
  counts_.calls.fetch_add(1, std::memory_order_relaxed);
  auto place = std::make_unique<Ticket::Place>(Ticket::Place{*this, nullptr, kind});
  const std::lock_guard lock(mutex_);
  if (closed_) {
    place->late = true;
    refusal = absl::UnavailableError("the server shuts down");
    return Ticket(std::move(place));
  }
  const auto at = by_name_.find(peer_name);
  if (at == by_name_.end()) {
    ++nameless_calls_;
    return Ticket(std::move(place));
  }
  place->connection = at->second;
  Connection& connection = *at->second;
  if (connection.calls == 0) SetBusy(connection);
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
  if (place.late) return;
  const absl::Time now = absl::Now();
  const std::lock_guard lock(mutex_);
  if (place.connection == nullptr) {
    if (--nameless_calls_ == 0 && closed_) EndIdle();
    return;
  }
  Connection& connection = *place.connection;
  --connection.calls_of_kind[IndexOf(place.kind)];
  if (--connection.calls == 0) {
    SetIdle(connection, now);
    if (closed_) EndAnswers(connection.handle.get());
  }
  if (reset) Strike(connection, now);
}

void ConnectionTable::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  EndIdle();
}

void ConnectionTable::EndIdle() {
  for (const auto& [number, connection] : connections_) {
    const int64_t calls = connection->peer.name.empty() ? nameless_calls_ : connection->calls;
    if (calls == 0) EndAnswers(connection->handle.get());
  }
}

void ConnectionTable::AwaitEnd(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  const auto until = absl::ToChronoTime(deadline);
  if (empty_.wait_until(lock, until, [this] { return connections_.empty(); })) return;
  for (const auto& [number, connection] : connections_) End(*connection);
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
