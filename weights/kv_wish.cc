#include "weights/kv_wish.h"

#include <algorithm>

namespace guildhall {

KvWish::~KvWish() {
  if (asked_ > 0) budget_.WantOfKv(0);
}

KvWish::Next KvWish::Ask(uint64_t missing, absl::Time now, uint64_t most) {
  if (missing < least_) {
    least_ = missing;
    until_ = now + patience_;
  }
  if (now >= until_) return Next::kGiveUp;
  const uint64_t wish = std::min(missing, most);
  if (wish == asked_) return Next::kWait;
  asked_ = wish;
  budget_.WantOfKv(wish);
  return Next::kLookAgain;
}

}  // namespace guildhall
