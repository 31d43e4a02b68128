// Page memories for tests: one that only counts, one that fails when told to.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "base/check.h"
#include "kernels/page_memory.h"

namespace guildhall {

// Gives out addresses that nothing backs, so that adapters of any size can be placed; CHECKs every call.
// `fail_at` > 0: that Reserve or Map, counted from 1, is refused.
class CountingPageMemory final : public PageMemory {
 public:
  struct Counts {
    std::atomic<uint64_t> mapped_bytes{0}, reserved_bytes{0};
    std::atomic<int64_t> calls{0};
    std::atomic<int64_t> fail_at{0};
    std::function<void()> on_unmap;  // FailingPageMemory's; may block
  };
  CountingPageMemory(size_t page_bytes, std::shared_ptr<Counts> counts)
      : page_bytes_(page_bytes), counts_(std::move(counts)) {}
  ~CountingPageMemory() override {
    GH_CHECK_EQ(counts_->mapped_bytes.load(), uint64_t{0});
    GH_CHECK_EQ(counts_->reserved_bytes.load(), uint64_t{0});
  }

  size_t page_bytes() const override { return page_bytes_; }

  absl::StatusOr<std::byte*> Reserve(size_t bytes) override {
    std::lock_guard lock(mutex_);
    GH_CHECK_EQ(bytes % page_bytes_, size_t{0});
    if (Fails()) return absl::ResourceExhaustedError("no addresses (a test's wish)");
    const uintptr_t begin = next_;
    next_ += bytes + page_bytes_;
    counts_->reserved_bytes += bytes;
    return reinterpret_cast<std::byte*>(begin);
  }

  void Unreserve(std::byte*, size_t bytes) override {
    GH_CHECK_LE(bytes, counts_->reserved_bytes.load());
    counts_->reserved_bytes -= bytes;
  }

  absl::Status Map(std::byte* begin, size_t bytes) override {
    std::lock_guard lock(mutex_);
    if (Fails()) return absl::ResourceExhaustedError("no memory (a test's wish)");
    for (size_t offset = 0; offset < bytes; offset += page_bytes_) {
      GH_CHECK(mapped_.emplace(reinterpret_cast<uintptr_t>(begin) + offset, true).second);
    }
    counts_->mapped_bytes += bytes;
    return absl::OkStatus();
  }

  void Unmap(std::byte* begin, size_t bytes) override {
    std::lock_guard lock(mutex_);
    for (size_t offset = 0; offset < bytes; offset += page_bytes_) {
      GH_CHECK_EQ(mapped_.erase(reinterpret_cast<uintptr_t>(begin) + offset), size_t{1});
    }
    counts_->mapped_bytes -= bytes;
  }

 private:
  bool Fails() { return ++counts_->calls == counts_->fail_at; }

  const size_t page_bytes_;
  const std::shared_ptr<Counts> counts_;
  std::mutex mutex_;
  uintptr_t next_ = uintptr_t{1} << 40;
  std::map<uintptr_t, bool> mapped_;
};

// Pages of a back end, with the same switch.
class FailingPageMemory final : public PageMemory {
 public:
  // `memory` outlives it.
  FailingPageMemory(PageMemory& memory, std::shared_ptr<CountingPageMemory::Counts> counts)
      : memory_(&memory), counts_(std::move(counts)) {}

  size_t page_bytes() const override { return memory_->page_bytes(); }
  absl::StatusOr<std::byte*> Reserve(size_t bytes) override {
    if (++counts_->calls == counts_->fail_at)
      return absl::ResourceExhaustedError("no addresses (a test's wish)");
    return memory_->Reserve(bytes);
  }
  void Unreserve(std::byte* begin, size_t bytes) override { memory_->Unreserve(begin, bytes); }
  absl::Status Map(std::byte* begin, size_t bytes) override {
    if (++counts_->calls == counts_->fail_at)
      return absl::ResourceExhaustedError("no memory (a test's wish)");
    const absl::Status mapped = memory_->Map(begin, bytes);
    if (mapped.ok()) counts_->mapped_bytes += bytes;
    return mapped;
  }
  void Unmap(std::byte* begin, size_t bytes) override {
    if (counts_->on_unmap) counts_->on_unmap();
    memory_->Unmap(begin, bytes);
    counts_->mapped_bytes -= bytes;
  }

 private:
  PageMemory* const memory_;
  const std::shared_ptr<CountingPageMemory::Counts> counts_;
};

}  // namespace guildhall
