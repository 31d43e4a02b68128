#include "base/memory_account.h"

#include "base/check.h"
#include "base/format_bytes.h"
#include "base/str_cat.h"

namespace guildhall {

uint64_t MemoryAccount::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

absl::Status MemoryAccount::Take(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > limit_ - used_) {
    return absl::ResourceExhaustedError(StrCat("the memory for requests is full: this one needs ",
                                               FormatBytes(bytes), " more, ", FormatBytes(limit_ - used_),
                                               " of ", FormatBytes(limit_), " are free; try again later"));
  }
  used_ += bytes;
  return absl::OkStatus();
}

void MemoryAccount::Give(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  GH_CHECK_LE(bytes, used_);
  used_ -= bytes;
}

MemoryCharge::~MemoryCharge() {
  if (bytes_ > 0) account_->Give(bytes_);
}

absl::Status MemoryCharge::Add(uint64_t bytes) {
  absl::Status taken = account_->Take(bytes);
  if (taken.ok()) bytes_ += bytes;
  return taken;
}

void MemoryCharge::Remove(uint64_t bytes) {
  GH_CHECK_LE(bytes, bytes_);
  bytes_ -= bytes;
  account_->Give(bytes);
}

}  // namespace guildhall
