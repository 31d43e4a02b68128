// How many calls of each kind are open at a time, in all and for the clients of one address.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/call_kind.h"

namespace guildhall {

// Thread-safe; outlives its tickets.
class CallLimits {
 public:
  struct Options {
    PerKind calls{};    // of each kind
    PerKind of_host{};  // the same, of the clients of one address; 0: as many as of all
  };

  // One call, counted for as long as this lives.
  class Ticket {
   public:
    Ticket(Ticket&& other) noexcept
        : limits_(std::exchange(other.limits_, nullptr)), kind_(other.kind_), host_(std::move(other.host_)) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket();

   private:
    friend class CallLimits;
    Ticket(CallLimits& limits, CallKind kind, std::string host)
        : limits_(&limits), kind_(kind), host_(std::move(host)) {}

    CallLimits* limits_;
    CallKind kind_;
    std::string host_;
  };

  explicit CallLimits(const Options& options) : options_(options) {}

  // `peer` is the client as Call names it; those of Unix sockets have no address of their own.
  // RESOURCE_EXHAUSTED with a RetryInfo: over a limit of its kind.
  absl::StatusOr<Ticket> Enter(CallKind kind, const std::string& peer);

 private:
  absl::Status Check(CallKind kind, const std::string& host) const;

  const Options options_;
  std::mutex mutex_;
  PerKind calls_{};
  std::map<std::string, PerKind> of_hosts_;  // of addresses that have calls
};

}  // namespace guildhall
