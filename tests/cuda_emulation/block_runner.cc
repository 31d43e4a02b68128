#include "tests/cuda_emulation/block_runner.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "base/str_cat.h"
#include "tests/cuda_emulation/copies.h"
#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

std::string LaneList(unsigned mask) {
  std::string text;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1u) text = StrCat(text, text.empty() ? "" : " ", lane);
  }
  return text;
}

}  // namespace

void BlockRunner::Begin(const Launch& launch, std::vector<ThreadPlace> places, Watcher* watcher) {
  watcher_ = watcher;
  places_ = std::move(places);
  state_ = {&launch, {}, shared_.Take(launch.shared_bytes)};
  warps_.resize((places_.size() + 31) / 32);
  ready_.resize(std::bit_ceil(places_.size() + 1));
  gridDim = launch.grid;
  blockDim = launch.block;
  dynamic_shared = state_.shared.data();
  running_block = this;
}

void BlockRunner::End() {
  running_block = nullptr;
  dynamic_shared = nullptr;
}

void BlockRunner::Run(uint3 block) {
  blockIdx = state_.index = block;
  shared_.Poison();
  const auto threads = static_cast<unsigned>(places_.size());
  for (unsigned warp = 0; warp < warps_.size(); ++warp) {
    const unsigned lanes = std::min(32u, threads - 32 * warp);
    warps_[warp].lanes = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps_[warp].ended = 0;
    warps_[warp].open = 0;
  }
  begun_ = 0;
  alive_ = threads;
  if (watcher_ != nullptr) watcher_->BlockBegins(state_);
  running_ = stacks_.Take(&RunThreads);
  Fiber::Switch(host_, *running_);
  if (watcher_ != nullptr) watcher_->BlockEnds(state_);
}

void BlockRunner::RunThreads() {
  Fiber::Arrive(*running_block->running_);
  for (;;) {
    // Threads that can go on come first: the stacks of one warp are then the ones in the cache.
    BlockRunner& block = *running_block;
    Fiber* next = nullptr;
    while ((next = block.NextReady()) == nullptr && block.begun_ < block.places_.size()) {
      block.running_->place = &block.places_[block.begun_++];
      Enter(*block.running_->place);
      block.state_.launch->call->RunThread();
      block.EndThread();
    }
    if (next == nullptr && block.alive_ > 0) block.ReportHang();
    Fiber* const self = block.running_;
    block.stacks_.Give(self);
    current_fiber = nullptr;
    block.running_ = next;
    Fiber::Switch(*self, next != nullptr ? *next : block.host_);
  }
}

void BlockRunner::EndThread() {
  const FiberState& now = *current_fiber;
  if (watcher_ != nullptr) watcher_->ThreadEnds(now);
  EndCopies();
  Warp& warp = warps_[now.warp];
  warp.ended |= 1u << now.lane;
  for (unsigned i = 0; i < warp.open; ++i) {
    if (warp.meetings[i].mask >> now.lane & 1u) {
      Report(StrCat(warp.meetings[i].what, ": lane ", now.lane, " ended, and lanes ",
                    LaneList(warp.meetings[i].arrived), " wait for it"));
    }
  }
  --alive_;
  if (alive_ > 0 && at_barrier_.size() == alive_) ReleaseBarrier();
}

Fiber* BlockRunner::NextReady() {
  if (ready_begin_ == ready_end_) return nullptr;
  return ready_[ready_begin_++ & (ready_.size() - 1)];
}

Fiber* BlockRunner::NextToBegin() {
  return begun_ < places_.size() ? stacks_.Take(&RunThreads) : nullptr;
}

void BlockRunner::Wait() {
  Fiber* const self = running_;
  Fiber* next = NextReady();
  if (next == nullptr) next = NextToBegin();
  if (next == nullptr) ReportHang();
  running_ = next;
  Fiber::Switch(*self, *next);
  Enter(*self->place);
}

void BlockRunner::MeetBlock() {
  at_barrier_.push_back(running_);
  if (at_barrier_.size() < alive_) return Wait();
  at_barrier_.pop_back();
  ReleaseBarrier();
}

void BlockRunner::ReleaseBarrier() {
  for (Fiber* const fiber : at_barrier_) Ready(fiber);
  at_barrier_.clear();
  if (watcher_ != nullptr) watcher_->BlockMet();
}

void BlockRunner::Meet(unsigned mask, const char* what, void* operand, Combine combine) {
  const FiberState now = *current_fiber;
  Warp& warp = warps_[now.warp];
  const unsigned self = 1u << now.lane;
  if ((mask & self) == 0) Report(StrCat(what, ": its mask lacks the calling lane ", now.lane));
  if ((mask & warp.lanes & ~warp.ended) != mask) {
    Report(StrCat(what, ": its mask has lanes that ended or never were: ",
                  LaneList(mask & ~(warp.lanes & ~warp.ended))));
  }
  Meeting& meeting = warp.Find(mask, what);
  if (meeting.what != what) {
    Report(StrCat(what, ": lanes ", LaneList(meeting.arrived), " wait at ", meeting.what));
  }
  meeting.operands[now.lane] = operand;
  meeting.arrived |= self;
  if (meeting.arrived != mask) {
    meeting.waiting[meeting.waiting_count++] = running_;
    return Wait();
  }
  combine(meeting.operands.data(), mask);
  for (unsigned i = 0; i < meeting.waiting_count; ++i) Ready(meeting.waiting[i]);
  warp.Close(meeting);
  if (watcher_ != nullptr) watcher_->LanesMet(now.warp, mask, what);
}

void BlockRunner::ReportHang() const {
  std::string text = StrCat("the block hangs: ", at_barrier_.size(), " of ", alive_,
                            " threads that have not ended wait at __syncthreads");
  for (size_t warp = 0; warp < warps_.size(); ++warp) {
    for (unsigned i = 0; i < warps_[warp].open; ++i) {
      const Meeting& meeting = warps_[warp].meetings[i];
      text = StrCat(text, "; lanes ", LaneList(meeting.arrived), " of warp ", warp, " wait at ", meeting.what,
                    " for lanes ", LaneList(meeting.mask & ~meeting.arrived));
    }
  }
  Report(text);
}

}  // namespace guildhall::emulation
