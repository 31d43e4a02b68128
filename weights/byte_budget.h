// One byte budget that adapters' pages and KV blocks share.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace guildhall {

// Thread-safe; no call blocks. What a holder takes it gives back by itself; nobody can be robbed. A holder
// that finds too little asks the other one: the KV cache reads `wanted_of_kv` at a step's start and gives
// back what nobody uses.
class ByteBudget {
 public:
  enum class Holder { kAdapters, kKvCache };

  explicit ByteBudget(uint64_t total) : total_(total) {}

  bool TryTake(Holder holder, uint64_t bytes);
  void Give(Holder holder, uint64_t bytes);  // CHECK: the holder has them

  uint64_t total() const { return total_; }
  uint64_t free() const;
  uint64_t used(Holder holder) const;

  // Adapters ask the KV cache to give back so much; 0 withdraws the wish.
  void WantOfKv(uint64_t bytes);
  uint64_t wanted_of_kv() const;

 private:
  const uint64_t total_;
  mutable std::mutex mutex_;
  uint64_t used_[2] = {0, 0};
  uint64_t wanted_of_kv_ = 0;
};

}  // namespace guildhall
