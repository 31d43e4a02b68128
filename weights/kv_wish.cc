#include "weights/kv_wish.h"

namespace guildhall {

KvWish::~KvWish() {
  if (asked_ > 0) budget_.WantOfKv(0);
}

KvWish::Next KvWish::Ask(uint64_t missing, absl::Time now) {
  if (missing < least_) {
    least_ = missing;
    until_ = now + patience_;
  }
  if (now >= until_) return Next::kGiveUp;
  if (missing == asked_) return Next::kWait;
  asked_ = missing;
  budget_.WantOfKv(missing);
  return Next::kLookAgain;
}

}  // namespace guildhall
