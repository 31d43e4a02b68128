// The threads that calls are answered on: those that come with the work, and the few of answers.
#include "server/call_threads.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <vector>

#include "server/answer_threads.h"

namespace guildhall {
namespace {

TEST_CASE("threads come with the calls, up to their limit, and the rest waits") {
  std::atomic<int> begun{0}, ended{0};
  {
    std::latch over(1);
    CallThreads threads(3);
    for (int i = 0; i < 5; ++i) {
      REQUIRE(threads
                  .Run([&] {
                    ++begun;
                    over.wait();
                    ++ended;
                  })
                  .ok());
    }
    while (begun < 3) std::this_thread::yield();
    CHECK(threads.threads() == 3);
    CHECK(begun == 3);
    over.count_down();
    while (ended < 5) std::this_thread::yield();
  }
  CHECK(ended == 5);
}

TEST_CASE("what was posted runs once, in its order on one thread, and before the threads are gone") {
  std::vector<int> order;
  {
    AnswerThreads threads(1);
    for (int i = 0; i < 100; ++i) threads.Post([&order, i] { order.push_back(i); });
  }
  REQUIRE(order.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(order[static_cast<size_t>(i)] == i);

  std::atomic<int> ran{0};
  {
    AnswerThreads threads(4);
    // Also what is posted from inside.
    for (int i = 0; i < 100; ++i) {
      threads.Post([&] {
        ++ran;
        threads.Post([&] { ++ran; });
      });
    }
  }
  CHECK(ran == 200);
}

}  // namespace
}  // namespace guildhall
