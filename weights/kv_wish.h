// What a load wishes of the KV cache.
#pragma once

#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "weights/byte_budget.h"

namespace guildhall {

// Asks the KV cache for memory, and withdraws the wish however the load ends. The KV cache gives back a
// little per step, so what counts is that it does: the wish is given up when for the time of its patience no
// less was missing. Without a clock: times come in. For one thread.
class KvWish {
 public:
  enum class Next {
    kLookAgain,  // it was asked now: it may have given something before it was
    kWait,       // until it gives something, and not beyond `until`
    kGiveUp,
  };

  KvWish(ByteBudget& budget, absl::Duration patience) : budget_(budget), patience_(patience) {}
  ~KvWish();
  KvWish(const KvWish&) = delete;
  KvWish& operator=(const KvWish&) = delete;

  // `missing` > 0 bytes, as of now, of which the KV cache can give `most`: others may come from elsewhere.
  Next Ask(uint64_t missing, absl::Time now, uint64_t most = std::numeric_limits<uint64_t>::max());
  absl::Time until() const { return until_; }

 private:
  ByteBudget& budget_;
  const absl::Duration patience_;
  uint64_t asked_ = 0;
  uint64_t least_ = std::numeric_limits<uint64_t>::max();  // that was missing so far
  absl::Time until_;
};

}  // namespace guildhall
