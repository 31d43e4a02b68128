#include "weights/byte_budget.h"

#include <algorithm>

#include "base/check.h"

namespace guildhall {

bool ByteBudget::TryTake(Holder holder, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (bytes > total_ - used_[0] - used_[1]) return false;
  used_[static_cast<size_t>(holder)] += bytes;
  return true;
}

void ByteBudget::Give(Holder holder, uint64_t bytes) {
  std::function<void()> listener;
  {
    std::lock_guard lock(mutex_);
    uint64_t& used = used_[static_cast<size_t>(holder)];
    GH_CHECK_LE(bytes, used);
    used -= bytes;
    if (holder != Holder::kKvCache) return;
    owed_by_kv_ -= std::min(owed_by_kv_, bytes);
    if (wanted_of_kv_ > 0 && bytes > 0) listener = on_kv_gave_;
  }
  if (listener) listener();
}

uint64_t ByteBudget::free() const {
  std::lock_guard lock(mutex_);
  return total_ - used_[0] - used_[1];
}

uint64_t ByteBudget::used(Holder holder) const {
  std::lock_guard lock(mutex_);
  return used_[static_cast<size_t>(holder)];
}

void ByteBudget::KeepForKv(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  kept_by_kv_ = bytes;
}

uint64_t ByteBudget::kept_by_kv() const {
  std::lock_guard lock(mutex_);
  return kept_by_kv_;
}

void ByteBudget::WantOfKv(uint64_t bytes) {
  std::function<void()> listener;
  {
    std::lock_guard lock(mutex_);
    wanted_of_kv_ = owed_by_kv_ = bytes;
    if (bytes > 0) listener = on_want_of_kv_;
  }
  if (listener) listener();
}

uint64_t ByteBudget::owed_by_kv() const {
  std::lock_guard lock(mutex_);
  return owed_by_kv_;
}

void ByteBudget::OnWantOfKv(std::function<void()> listener) {
  std::lock_guard lock(mutex_);
  on_want_of_kv_.swap(listener);
}

void ByteBudget::OnKvGave(std::function<void()> listener) {
  std::lock_guard lock(mutex_);
  on_kv_gave_.swap(listener);
}

uint64_t ByteBudget::wanted_of_kv() const {
  std::lock_guard lock(mutex_);
  return wanted_of_kv_;
}

}  // namespace guildhall
