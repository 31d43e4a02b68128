#include "engine/kv_memory.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace guildhall {
namespace {

constexpr auto kKvCache = ByteBudget::Holder::kKvCache;
constexpr int64_t kChunks = 32;   // in which the cache grows, at most
constexpr int64_t kPieces = 128;  // in which it gives back: a step each, so a load need not wait for many

}  // namespace

KvMemory::KvMemory(LanguageModel& model, KvBlocks& blocks, const KvMemoryOptions& options,
                   std::function<void()> wake)
    : model_(model),
      blocks_(blocks),
      budget_(options.budget),
      block_bytes_(options.block_bytes),
      min_blocks_(std::clamp<int64_t>(options.min_blocks, 1, blocks.total())),
      chunk_(std::max(model.kv_release_blocks(), (blocks.total() + kChunks - 1) / kChunks)),
      piece_(std::max(model.kv_release_blocks(), (blocks.total() + kPieces - 1) / kPieces)) {
  if (budget_ == nullptr) return;
  GH_CHECK_GT(block_bytes_, 0u);
  GH_CHECK(budget_->TryTake(kKvCache, static_cast<uint64_t>(min_blocks_) * block_bytes_));
  budget_->KeepForKv(static_cast<uint64_t>(min_blocks_) * block_bytes_);
  blocks_.Shrink(min_blocks_);
  model_.ReleaseKvBlocks(min_blocks_, blocks_.total() - min_blocks_);
  budget_->OnWantOfKv(std::move(wake));
}

KvMemory::~KvMemory() {
  if (budget_ == nullptr) return;
  budget_->OnWantOfKv(nullptr);
  budget_->KeepForKv(0);
  model_.ReleaseKvBlocks(0, blocks_.size());
  budget_->Give(kKvCache, static_cast<uint64_t>(blocks_.size()) * block_bytes_);
}

bool KvMemory::GiveBack() {
  if (budget_ == nullptr) return false;
  const uint64_t owed = budget_->owed_by_kv();
  if (owed == 0) return false;
  // A piece at a time: to release memory takes time, and sequences wait meanwhile.
  const auto wanted = static_cast<int64_t>((owed + block_bytes_ - 1) / block_bytes_);
  const int64_t size = blocks_.size();
  const int64_t kept = std::max({size - std::min(wanted, piece_), blocks_.HeldEnd(), min_blocks_});
  if (kept >= size) return false;
  blocks_.Shrink(kept);
  model_.ReleaseKvBlocks(kept, size - kept);
  budget_->Give(kKvCache, static_cast<uint64_t>(size - kept) * block_bytes_);
  return true;
}

int64_t KvMemory::Obtainable() const {
  if (budget_ == nullptr) return 0;
  const uint64_t blocks = budget_->free() / block_bytes_;
  return static_cast<int64_t>(std::min(blocks, static_cast<uint64_t>(blocks_.total() - blocks_.size())));
}

void KvMemory::Provide(int64_t count) {
  if (budget_ == nullptr) return;
  const int64_t at_hand = wanted() ? blocks_.available() : blocks_.unused();
  const int64_t missing = std::min(count - at_hand, blocks_.total() - blocks_.size());
  if (missing <= 0) return;
  const int64_t rounded =
      std::min((blocks_.size() + missing + chunk_ - 1) / chunk_ * chunk_, blocks_.total());
  if (!wanted() && Grow(rounded - blocks_.size())) return;
  if (!Grow(missing)) Grow(std::min(missing, Obtainable()));
}

bool KvMemory::Grow(int64_t blocks) {
  const auto bytes = static_cast<uint64_t>(blocks) * block_bytes_;
  if (blocks <= 0 || !budget_->TryTake(kKvCache, bytes)) return false;
  if (!model_.GrowKvBlocks(blocks_.size(), blocks).ok()) {
    budget_->Give(kKvCache, bytes);
    return false;
  }
  blocks_.Grow(blocks_.size() + blocks);
  return true;
}

}  // namespace guildhall
