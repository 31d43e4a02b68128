#include "tests/cuda_emulation/stream.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

namespace guildhall::emulation {
namespace {

constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();

// Held while a piece of work is taken and executed, whatever its device.
std::recursive_mutex executing_mutex;

int64_t Now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace

Queues::Queues() = default;
Queues::~Queues() = default;

CUstream_st* Queues::Create(bool blocking, int priority) {
  const std::lock_guard lock(mutex_);
  streams_.push_back(std::make_unique<CUstream_st>());
  streams_.back()->blocking = blocking;
  streams_.back()->priority = priority;
  return streams_.back().get();
}

bool Queues::Destroy(CUstream_st* stream) {
  if (stream == nullptr || !Has(stream)) return false;
  Drain(stream);
  const std::lock_guard lock(mutex_);
  std::erase_if(streams_, [&](const auto& owned) { return owned.get() == stream; });
  return true;
}

bool Queues::Has(CUstream_st* stream) {
  const std::lock_guard lock(mutex_);
  return stream == nullptr || std::any_of(streams_.begin(), streams_.end(),
                                          [&](const auto& owned) { return owned.get() == stream; });
}

void Queues::Push(CUstream_st* stream, Work work) {
  const std::lock_guard lock(mutex_);
  work.number = next_number_++;
  Of(stream)->work.push_back(std::move(work));
}

bool Queues::RunNext(CUstream_st* stream, uint64_t end) {
  const std::lock_guard executing(executing_mutex);
  Work work;
  std::vector<CUstream_st*> before;  // streams whose earlier work comes first
  {
    const std::lock_guard lock(mutex_);
    if (stream->work.empty() || stream->work.front().number >= end) return false;
    work = std::move(stream->work.front());
    stream->work.pop_front();
    if (stream == &default_) {
      for (const auto& other : streams_) {
        if (other->blocking) before.push_back(other.get());
      }
    } else if (stream->blocking) {
      before.push_back(&default_);
    }
  }
  for (CUstream_st* const other : before) RunBefore(other, work.number);
  if (work.awaits != nullptr) DrainTo(*work.awaits);
  if (work.run) work.run();
  if (work.mark != nullptr) {
    work.mark->nanoseconds = Now();
    work.mark->reached = true;
  }
  return true;
}

void Queues::RunBefore(CUstream_st* stream, uint64_t end) {
  while (RunNext(stream, end)) {
  }
}

void Queues::Drain(CUstream_st* stream) {
  RunBefore(Of(stream), kAll);
}

void Queues::DrainAll() {
  std::vector<CUstream_st*> all = {&default_};
  {
    const std::lock_guard lock(mutex_);
    for (const auto& stream : streams_) all.push_back(stream.get());
  }
  for (CUstream_st* const stream : all) Drain(stream);
}

void Queues::DrainTo(const Mark& mark) {
  while (!mark.reached && mark.queues->RunNext(mark.stream, kAll)) {
  }
}

bool Queues::Step(CUstream_st* stream) {
  return !RunNext(Of(stream), kAll);
}

bool Queues::Step(const Mark& mark) {
  if (!mark.reached) mark.queues->RunNext(mark.stream, kAll);
  return mark.reached;
}

std::shared_ptr<Mark> Queues::Record(CUstream_st* stream) {
  auto mark = std::make_shared<Mark>();
  mark->queues = this;
  mark->stream = Of(stream);
  Push(stream, {.mark = mark});
  return mark;
}

void Queues::BetweenWork(const std::function<void()>& body) {
  const std::lock_guard executing(executing_mutex);
  body();
}

}  // namespace guildhall::emulation
