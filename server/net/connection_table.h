// The open connections of a listener and the calls on each: who is let in, who makes room, who is
// shown the door.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/once_per_minute.h"
#include "server/call_kind.h"
#include "server/listener_counts.h"
#include "server/net/file_descriptor.h"
#include "server/net/idle_order.h"
#include "server/net/peer.h"

namespace guildhall {

struct ConnectionLimits {
  int64_t in_all = 1024;           // connections
  int64_t per_host = 1024;         // of one address
  int64_t calls = 256;             // open at a time on one connection
  PerKind calls_of_kind{};         // the same, of each kind
  double resets_per_second = 100;  // of one connection; twice `calls` may come at once
};

// Thread-safe; outlives its tickets. Clients of Unix sockets have no names, so that their calls
// belong to no connection: for them the limits of one connection are those of gRPC alone.
class ConnectionTable {
 public:
  // One open call. Ends with it, or by Leave().
  class Ticket {
   public:
    Ticket(Ticket&& other) noexcept = default;
    ~Ticket() { Leave(false); }
    // `reset`: the client left before the call was answered. Too many of them end its connection.
    void Leave(bool reset);
    // The call was refused for a limit of the listener.
    void CountRefusal() const;

   private:
    friend class ConnectionTable;
    struct Place;
    explicit Ticket(std::unique_ptr<Place> place);
    struct Delete {
      void operator()(Place* place) const;
    };
    std::unique_ptr<Place, Delete> place_;
  };

  // The counts outlive it.
  ConnectionTable(const ConnectionLimits& limits, ListenerCounts& counts);

  // Lets a connection in and returns its number, or says why not. At the limit the one that has
  // been without calls for longest makes room, if that is a second at least. `handle` is a
  // duplicate of its descriptor, by which it is ended from here.
  absl::StatusOr<uint64_t> Add(const Peer& peer, FileDescriptor handle);
  // Forgets it; gives the duplicate back.
  FileDescriptor Remove(uint64_t number);

  // Every call has a ticket; `refusal` says whether it is over a limit of its connection:
  // RESOURCE_EXHAUSTED with a RetryInfo; or that the table is closed: UNAVAILABLE.
  Ticket Enter(const std::string& peer_name, CallKind kind, absl::Status& refusal);

  // From now on connections and calls are refused. The calls that are open end as they would; behind
  // the last answer on a connection its client is told that nothing more comes.
  void Close();
  // Until all clients of a closed table have gone; who has not by `deadline` is cut off.
  void AwaitEnd(absl::Time deadline);

 private:
  struct Connection;
  struct Host {  // connections that are not ending
    int64_t connections = 0;
    IdleOrder order;
  };
  using Map = std::unordered_map<uint64_t, std::shared_ptr<Connection>>;

  bool MakeRoom(const IdleOrder& order, absl::Time now);
  void Count(Connection& connection);
  void Uncount(Connection& connection);
  void SetIdle(Connection& connection, absl::Time now);
  void SetBusy(Connection& connection);
  void End(Connection& connection);
  void EndIdle();
  void Strike(Connection& connection, absl::Time now);
  void Leave(Ticket::Place& place, bool reset);

  const ConnectionLimits limits_;
  ListenerCounts& counts_;
  OncePerMinute full_line_, hostile_line_;

  std::mutex mutex_;
  uint64_t next_number_;
  bool closed_ = false;
  std::condition_variable empty_;
  int64_t ending_ = 0;          // connections that End was called for and that are still in the table
  int64_t nameless_calls_ = 0;  // that belong to none of them
  Map connections_;
  IdleOrder order_;  // of connections that are not ending
  std::unordered_map<std::string, std::shared_ptr<Connection>> by_name_;
  std::unordered_map<std::string, Host> hosts_;
};

// Numbers below are free for other uses.
inline constexpr uint64_t kFirstConnection = 1024;

}  // namespace guildhall
