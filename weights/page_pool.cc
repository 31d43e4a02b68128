#include "weights/page_pool.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

PagePool::PagePool(PageMemory& memory, std::shared_ptr<ByteBudget> budget)
    : memory_(memory), budget_(std::move(budget)) {}

PagePool::~PagePool() {
  GH_CHECK_EQ(pages_, uint64_t{0});
}

uint64_t PagePool::mapped_bytes() const {
  std::lock_guard lock(mutex_);
  return pages_ * page_bytes();
}

absl::Status PagePool::Map(std::byte* begin, size_t pages) {
  const size_t bytes = pages * page_bytes();
  if (!budget_->TryTake(ByteBudget::Holder::kAdapters, bytes)) {
    return absl::ResourceExhaustedError(StrCat("adapter pages: ", bytes, " bytes are needed and ",
                                               budget_->free(), " of the budget's ", budget_->total(),
                                               " are free"));
  }
  absl::Cleanup give = [&] { budget_->Give(ByteBudget::Holder::kAdapters, bytes); };
  GH_RETURN_IF_ERROR(memory_.Map(begin, bytes));
  std::move(give).Cancel();
  std::lock_guard lock(mutex_);
  pages_ += pages;
  return absl::OkStatus();
}

void PagePool::Unmap(std::byte* begin, size_t pages) {
  memory_.Unmap(begin, pages * page_bytes());
  {
    std::lock_guard lock(mutex_);
    GH_CHECK_LE(pages, pages_);
    pages_ -= pages;
  }
  budget_->Give(ByteBudget::Holder::kAdapters, pages * page_bytes());
}

}  // namespace guildhall
