// The few threads on which answers go on. Nothing that runs here waits for a client, a step or a file.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace guildhall {

// Thread-safe.
class AnswerThreads {
 public:
  explicit AnswerThreads(int threads);
  // After everything that was posted has run.
  ~AnswerThreads();

  // `work` runs soon, in the order of the posts; it does not throw. From any thread; never waits for work.
  void Post(std::function<void()> work);

 private:
  void Serve();

  std::mutex mutex_;
  std::condition_variable work_comes_;
  std::deque<std::function<void()>> waiting_;
  bool ends_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace guildhall
