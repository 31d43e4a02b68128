// The Generate calls that are open: their number is bounded, and one whose client stops reading is found and
// ended.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace guildhall {

// Thread-safe; outlives its tickets.
class OpenCalls {
 public:
  // One open call; the end of its life ends the registration. The context outlives it.
  class Ticket {
   public:
    Ticket(OpenCalls& calls, grpc::ServerContextBase& context) : calls_(calls), context_(context) {}
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    // Around every write: a blocking write that takes longer than the stall limit is cancelled by
    // CancelStalled.
    void BeginWrite();
    void EndWrite() { write_began_ns_.store(0, std::memory_order_relaxed); }

   private:
    friend class OpenCalls;
    OpenCalls& calls_;
    grpc::ServerContextBase& context_;
    std::atomic<int64_t> write_began_ns_{0};  // 0: no write in progress
    std::list<Ticket*>::iterator place_;
  };

  explicit OpenCalls(int64_t capacity) : capacity_(capacity) {}

  // RESOURCE_EXHAUSTED with a RetryInfo when `capacity` calls are open.
  absl::StatusOr<std::unique_ptr<Ticket>> Enter(grpc::ServerContextBase& context);
  // Cancels the calls whose write has been blocked for `limit`; their handlers see the write fail.
  void CancelStalled(absl::Duration limit);
  int64_t open() const;

 private:
  const int64_t capacity_;
  mutable std::mutex mutex_;
  std::list<Ticket*> tickets_;
};

}  // namespace guildhall
