// One account for memory that many take at once.
#pragma once

#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/status/status.h"

namespace guildhall {

// Counts bytes, allocates none. Thread-safe; outlives its charges.
class MemoryAccount {
 public:
  explicit MemoryAccount(uint64_t limit_bytes) : limit_(limit_bytes) {}

  uint64_t limit() const { return limit_; }
  uint64_t used() const;

 private:
  friend class MemoryCharge;
  absl::Status Take(uint64_t bytes);
  void Give(uint64_t bytes);

  const uint64_t limit_;
  mutable std::mutex mutex_;
  uint64_t used_ = 0;
};

// What one owner has taken of an account; the end of its life gives all of it back. For one thread.
class MemoryCharge {
 public:
  explicit MemoryCharge(MemoryAccount& account) : account_(&account) {}
  MemoryCharge(MemoryCharge&& other) noexcept
      : account_(other.account_), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryCharge& operator=(MemoryCharge&&) = delete;
  ~MemoryCharge();

  // RESOURCE_EXHAUSTED, with the numbers: the account has no room, and what was taken before stays so.
  absl::Status Add(uint64_t bytes);
  void Remove(uint64_t bytes);  // CHECK: they were taken
  uint64_t bytes() const { return bytes_; }

 private:
  MemoryAccount* account_;
  uint64_t bytes_ = 0;
};

}  // namespace guildhall
