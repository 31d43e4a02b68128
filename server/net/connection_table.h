// The open connections of a listener and the calls on each: who is let in, who makes room, who is
// shown the door.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/call_kind.h"
#include "server/listener_counts.h"
#include "server/net/file_descriptor.h"
#include "server/net/once_per_minute.h"
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
  // RESOURCE_EXHAUSTED with a RetryInfo.
  Ticket Enter(const std::string& peer_name, CallKind kind, absl::Status& refusal);

 private:
  struct Connection;
  using Map = std::unordered_map<uint64_t, std::shared_ptr<Connection>>;

  bool MakeRoom(const std::string& host, bool of_host, absl::Time now);
  void End(Connection& connection);
  void Strike(Connection& connection, absl::Time now);
  void Leave(Ticket::Place& place, bool reset);

  const ConnectionLimits limits_;
  ListenerCounts& counts_;
  OncePerMinute full_line_, hostile_line_;

  std::mutex mutex_;
  uint64_t next_number_;
  int64_t ending_ = 0;  // connections that End was called for and that are still in the table
  Map connections_;
  std::unordered_map<std::string, std::shared_ptr<Connection>> by_name_;
  std::unordered_map<std::string, int64_t> hosts_;  // connections that are not ending
};

// Numbers below are free for other uses.
inline constexpr uint64_t kFirstConnection = 1024;

}  // namespace guildhall
