// One byte budget that adapters' pages and KV blocks share.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

namespace guildhall {

// Thread-safe; no call blocks. What a holder takes it gives back by itself; nobody can be robbed. A holder
// that finds too little asks the other one: the KV cache reads `owed_by_kv` at a step's start and gives back
// what nobody uses. While there is a wish, it admits nobody on what is free.
class ByteBudget {
 public:
  enum class Holder { kAdapters, kKvCache };

  explicit ByteBudget(uint64_t total) : total_(total) {}

  bool TryTake(Holder holder, uint64_t bytes);
  void Give(Holder holder, uint64_t bytes);  // CHECK: the holder has them

  uint64_t total() const { return total_; }
  uint64_t free() const;
  // Of what the KV cache has, what it will never give back; 0 at first.
  void KeepForKv(uint64_t bytes);
  uint64_t kept_by_kv() const;
  uint64_t used(Holder holder) const;

  // Adapters ask the KV cache to give back so much from now on; 0 withdraws the wish. Each call replaces the
  // one before.
  void WantOfKv(uint64_t bytes);
  uint64_t wanted_of_kv() const;
  uint64_t owed_by_kv() const;  // of that, what it has not given since
  // Called after each wish, on the thread that has it; it must not block. Null: nobody listens.
  void OnWantOfKv(std::function<void()> listener);
  // Called after the KV cache gave something back while there was a wish, on the thread that gave: it must
  // neither block nor take locks. Null: nobody listens.
  void OnKvGave(std::function<void()> listener);

 private:
  const uint64_t total_;
  mutable std::mutex mutex_;
  uint64_t used_[2] = {0, 0};
  uint64_t wanted_of_kv_ = 0;
  uint64_t owed_by_kv_ = 0;
  uint64_t kept_by_kv_ = 0;
  std::function<void()> on_want_of_kv_, on_kv_gave_;
};

}  // namespace guildhall
