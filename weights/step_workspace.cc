#include "weights/step_workspace.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/arena.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr auto kAdapters = ByteBudget::Holder::kAdapters;

}  // namespace

StepWorkspace::~StepWorkspace() {
  if (charged_ > 0) budget_->Give(kAdapters, charged_);
}

void StepWorkspace::ChargeTo(std::shared_ptr<ByteBudget> budget) {
  std::lock_guard lock(mutex_);
  if (charged_ > 0) budget_->Give(kAdapters, std::exchange(charged_, 0));
  base_bytes_ = newest_.memory == nullptr ? 0 : newest_.memory->size();
  budget_ = std::move(budget);
}

size_t StepWorkspace::Bytes(const WorkspaceNeed& need) {
  Arena arena;
  arena.Take<int32_t>(need.slots + 1);
  arena.Take<float>(need.rows * need.columns);
  return arena.bytes();
}

StepWorkspace::View StepWorkspace::Divide(const Block& block) {
  Arena arena(block.memory->data());
  View view;
  view.group_begin = arena.Take<int32_t>(block.need.slots + 1);
  view.low_rank = arena.Take<float>(block.need.rows * block.need.columns);
  view.slots = block.need.slots;
  view.columns = block.need.columns;
  return view;
}

uint64_t StepWorkspace::OfAdapters(size_t bytes) const {
  return budget_ == nullptr || bytes < base_bytes_ ? 0 : bytes - base_bytes_;
}

uint64_t StepWorkspace::BytesToReserve(WorkspaceNeed need) const {
  std::lock_guard lock(mutex_);
  need.slots = std::max(need.slots, newest_.need.slots);
  const uint64_t wanted = OfAdapters(Bytes(need));
  return wanted > charged_ ? wanted - charged_ : 0;
}

absl::Status StepWorkspace::Reserve(WorkspaceNeed need) {
  std::lock_guard lock(mutex_);
  need.slots = std::max(need.slots, newest_.need.slots);
  const size_t bytes = Bytes(need);
  if (newest_.memory != nullptr && newest_.memory->size() >= bytes && newest_.memory->size() <= 2 * bytes) {
    newest_.need = need;
    return absl::OkStatus();
  }
  const uint64_t wanted = OfAdapters(bytes);
  if (wanted > charged_ && !budget_->TryTake(kAdapters, wanted - charged_)) {
    return absl::ResourceExhaustedError(StrCat(
        "workspace of low-rank adapters: ", wanted - charged_, " more bytes are needed and ", budget_->free(),
        " of the budget's ", budget_->total(), " are free: unload adapters, or raise the budget"));
  }
  absl::Cleanup give = [&] {
    if (wanted > charged_) budget_->Give(kAdapters, wanted - charged_);
  };
  GH_ASSIGN_OR_RETURN(DeviceBuffer memory, memory_.Allocate(bytes, "workspace of low-rank adapters"));
  newest_ = {std::make_shared<const DeviceBuffer>(std::move(memory)), need};
  std::move(give).Cancel();
  if (charged_ > wanted) budget_->Give(kAdapters, charged_ - wanted);
  charged_ = wanted;
  return absl::OkStatus();
}

WorkspaceNeed StepWorkspace::reserved() const {
  std::lock_guard lock(mutex_);
  return newest_.need;
}

uint64_t StepWorkspace::charged_bytes() const {
  std::lock_guard lock(mutex_);
  return charged_;
}

StepWorkspace::View StepWorkspace::Begin() {
  {
    std::lock_guard lock(mutex_);
    running_ = newest_;
  }
  return Divide(running_);
}

void StepWorkspace::End() {
  Block over;
  {
    std::lock_guard lock(mutex_);
    std::swap(over, running_);
  }
}

}  // namespace guildhall
