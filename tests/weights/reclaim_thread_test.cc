#include "weights/reclaim_thread.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <vector>

namespace guildhall {
namespace {

struct Numbered : ReclaimItem {
  explicit Numbered(int n) : number(n) {}
  const int number;
};

TEST_CASE("What was dropped is reclaimed in order, and who waits for it finds it done") {
  std::vector<int> numbers;  // written by the thread, read once it is done
  ReclaimThread thread(
      [&](ReclaimItem* item) {
        const std::unique_ptr<ReclaimItem> owned(item);
        numbers.push_back(static_cast<Numbered*>(item)->number);
      },
      [] {});
  thread.AwaitDropped();  // nothing yet
  for (int i = 0; i < 100; ++i) thread.queue()->Push(new Numbered(i));
  thread.AwaitDropped();
  REQUIRE(numbers.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(numbers[static_cast<size_t>(i)] == i);
}

TEST_CASE("At the end what is left is reclaimed, with what it was the last holder of") {
  std::atomic<int> reclaimed{0}, afterwards{0};
  {
    std::shared_ptr<ReclaimQueue> queue;
    ReclaimThread thread(
        [&](ReclaimItem* item) {
          const std::unique_ptr<ReclaimItem> owned(item);
          const int depth = static_cast<Numbered*>(item)->number;
          if (depth > 0) queue->Push(new Numbered(depth - 1));
          ++reclaimed;
        },
        [&] { ++afterwards; });
    queue = thread.queue();
    queue->Push(new Numbered(3));
  }
  CHECK(reclaimed == 4);
  CHECK(afterwards >= 4);  // after each of them
}

TEST_CASE("A wake is passed on although nothing was dropped") {
  std::atomic<int> woken{0};
  ReclaimThread thread([](ReclaimItem*) {},
                       [&] {
                         ++woken;
                         woken.notify_all();
                       });
  woken.wait(0);  // at its start
  const int before = woken;
  thread.queue()->Wake();
  woken.wait(before);
  CHECK(woken > before);
}

}  // namespace
}  // namespace guildhall
