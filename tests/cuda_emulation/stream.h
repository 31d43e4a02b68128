// Work that was enqueued and did not happen yet.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

struct CUstream_st;

namespace guildhall::emulation {

class Queues;

// One record of an event: where in a stream it stands, and when it was reached.
struct Mark {
  Queues* queues = nullptr;
  CUstream_st* stream = nullptr;
  std::atomic<bool> reached = false;
  std::atomic<int64_t> nanoseconds = 0;
};

struct Work {
  uint64_t number = 0;  // in the order of all calls
  std::function<void()> run = {};
  std::shared_ptr<Mark> mark = {};    // an event's record: reached when all before it is done
  std::shared_ptr<Mark> awaits = {};  // not before this one is reached
};

}  // namespace guildhall::emulation

// The handle of the C names.
struct CUstream_st {
  bool blocking = true;  // waits for the default stream, and the other way round
  int priority = 0;
  std::deque<guildhall::emulation::Work> work;
};

class CUevent_st {
 public:
  explicit CUevent_st(bool the_timed) : timed(the_timed) {}

  // Null: never recorded.
  std::shared_ptr<guildhall::emulation::Mark> Last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  void SetLast(std::shared_ptr<guildhall::emulation::Mark> mark) {
    const std::lock_guard lock(mutex_);
    last_ = std::move(mark);
  }

  const bool timed;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<guildhall::emulation::Mark> last_;
};

namespace guildhall::emulation {

// The streams of one device. Work is executed only when somebody waits for it, then everything that it needs
// and nothing else. Thread-safe: one piece of work is executed at a time.
class Queues {
 public:
  Queues();
  ~Queues();

  CUstream_st* Create(bool blocking, int priority);
  // After its work. False: no stream of this device.
  bool Destroy(CUstream_st* stream);
  bool Has(CUstream_st* stream);  // null is the default stream

  void Push(CUstream_st* stream, Work work);

  void Drain(CUstream_st* stream);
  void DrainAll();
  // Of any device's streams.
  static void DrainTo(const Mark& mark);
  // One piece of work, where there is some; whether there is none any more.
  bool Step(CUstream_st* stream);
  static bool Step(const Mark& mark);
  // A record of an event, to be reached when all that was enqueued on the stream is done.
  std::shared_ptr<Mark> Record(CUstream_st* stream);
  // Calls `body` while nothing is executed.
  static void BetweenWork(const std::function<void()>& body);

 private:
  CUstream_st* Of(CUstream_st* stream) { return stream != nullptr ? stream : &default_; }
  // The next piece of work with a number below `end` and what it needs. False: there is none.
  bool RunNext(CUstream_st* stream, uint64_t end);
  void RunBefore(CUstream_st* stream, uint64_t end);

  std::mutex mutex_;
  uint64_t next_number_ = 1;
  CUstream_st default_;
  std::vector<std::unique_ptr<CUstream_st>> streams_;
};

}  // namespace guildhall::emulation
