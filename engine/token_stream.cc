#include "engine/token_stream.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"

namespace guildhall {

TokenStream::TokenStream(size_t capacity) : capacity_(std::max<size_t>(capacity, 1)) {
  last_pop_ns_.store(absl::GetCurrentTimeNanos(), std::memory_order_relaxed);
}

std::optional<TokenStream::Event> TokenStream::Pop(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  const auto something = [&] { return !events_.empty() || end_.has_value() || ended_; };
  if (deadline == absl::InfiniteFuture()) {
    ready_.wait(lock, something);
  } else {
    ready_.wait_until(lock, absl::ToChronoTime(deadline), something);
  }
  if (!events_.empty()) {
    const bool was_full = events_.size() >= capacity_;
    Event event(std::move(events_.front()));
    events_.pop_front();
    last_pop_ns_.store(absl::GetCurrentTimeNanos(), std::memory_order_relaxed);
    if (was_full && wake_) wake_();
    return event;
  }
  if (!end_.has_value()) return std::nullopt;
  Event event(*std::move(end_));
  end_.reset();
  ended_ = true;
  return event;
}

void TokenStream::OnEvent(std::function<void()> listener) {
  {
    std::lock_guard lock(mutex_);
    std::swap(listener_, listener);
  }
  // What the one before holds goes here, outside of the lock.
}

std::vector<TokenLogprob> TokenStream::TakePromptLogprobs() {
  std::lock_guard lock(mutex_);
  return std::exchange(prompt_logprobs_, {});
}

void TokenStream::Cancel(FinishReason reason) {
  int none = -1;
  if (!cancel_.compare_exchange_strong(none, static_cast<int>(reason))) return;
  std::lock_guard lock(mutex_);
  if (wake_) wake_();
}

void TokenStream::SetWake(std::function<void()> wake) {
  std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

size_t TokenStream::Room() const {
  std::lock_guard lock(mutex_);
  return events_.size() < capacity_ ? capacity_ - events_.size() : 0;
}

void TokenStream::Push(TokenEvent event) {
  {
    std::lock_guard lock(mutex_);
    GH_CHECK(!end_.has_value() && !ended_);
    events_.push_back(std::move(event));
    if (listener_) listener_();
  }
  ready_.notify_one();
}

void TokenStream::SetPromptLogprobs(std::vector<TokenLogprob> logprobs) {
  std::lock_guard lock(mutex_);
  prompt_logprobs_ = std::move(logprobs);
}

void TokenStream::End(RequestEnd end) {
  std::function<void()> listener;  // what it holds goes outside of the lock
  {
    std::lock_guard lock(mutex_);
    GH_CHECK(!end_.has_value() && !ended_);
    end_ = std::move(end);
    wake_ = nullptr;  // the engine has no more interest; what the callback holds goes with it
    listener = std::exchange(listener_, nullptr);
    if (listener) listener();
  }
  ready_.notify_one();
}

std::optional<FinishReason> TokenStream::CancelRequested() const {
  const int reason = cancel_.load(std::memory_order_acquire);
  if (reason < 0) return std::nullopt;
  return static_cast<FinishReason>(reason);
}

absl::Time TokenStream::LastPop() const {
  return absl::FromUnixNanos(last_pop_ns_.load(std::memory_order_relaxed));
}

}  // namespace guildhall
