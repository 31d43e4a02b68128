// Readers that wait for memory, as tables: no thread, no page, no clock.
#include <catch2/catch.hpp>

#include "tests/weights/tiny_adapter.h"
#include "weights/adapter_book.h"

namespace guildhall {
namespace {

using Version = AdapterBook::Version;
using Job = AdapterBook::Job;
using Names = std::vector<std::string>;

struct Shelf {
  AdapterBook book;

  explicit Shelf(const Names& names) {
    for (const std::string& name : names) {
      REQUIRE(book.AddLoad({.name = name, .open = {}}).ok());
      Run(absl::OkStatus());
    }
  }

  Version At(const std::string& name) { return book.Serving(name).value(); }
  void Evict(const std::string& name) {
    std::vector<Version> kept;
    for (const Version& version : book.Evictable()) {
      if (version->info.name != name) kept.push_back(version);
    }
    REQUIRE(book.EvictOldest(kept));
  }
  // The oldest job comes into memory, or fails.
  std::string Run(const absl::Status& status) {
    const Job job = book.StartNext();
    if (status.ok()) {
      LoadedAdapter loaded;
      loaded.resident = std::make_shared<ResidentAdapter>();
      book.Publish(*job, std::move(loaded), absl::UnixEpoch());
    }
    book.Finish(*job, status);
    return job->version->info.name;
  }
  std::shared_ptr<WaitingReader> Ask(const Names& names) {
    std::vector<AdapterUse> uses;
    for (const std::string& name : names) uses.push_back({name});
    auto reader = std::make_shared<WaitingReader>();
    reader->versions = book.AddReaders(uses, absl::UnixEpoch()).value();
    book.BeginWait(reader);
    return reader;
  }
  Names Evictable() {
    Names names;
    for (const Version& version : book.Evictable()) names.push_back(version->info.name);
    return names;
  }
};

TEST_CASE("A reader whose versions are there waits for nothing, and holds them") {
  Shelf shelf({"a", "b"});
  const auto reader = shelf.Ask({"a", "b"});
  CHECK(reader->done);
  CHECK(reader->outcome.value());
  CHECK(shelf.Evictable().empty());
  CHECK(shelf.book.Held().size() == 2);
  CHECK_FALSE(shelf.book.has_queued());
}

TEST_CASE("Who waits for one version does not hold the others, and gets all in one moment") {
  Shelf shelf({"a", "b", "c"});
  shelf.Evict("a");
  const auto reader = shelf.Ask({"a", "b"});
  CHECK_FALSE(reader->done);
  CHECK(shelf.Evictable() == Names{"c", "b"});
  shelf.Evict("b");
  CHECK(shelf.Run(absl::OkStatus()) == "a");
  CHECK_FALSE(reader->done);  // b has left meanwhile, and is asked for again
  CHECK(shelf.Evictable() == Names{"c", "a"});
  CHECK(shelf.Run(absl::OkStatus()) == "b");
  CHECK(reader->done);
  CHECK(reader->outcome.value());
  CHECK(shelf.Evictable() == Names{"c"});
}

TEST_CASE("A failed job, an unload and a newer version end the waits for it, and no others") {
  Shelf shelf({"a", "b"});
  shelf.Evict("a");
  shelf.Evict("b");
  const auto a = shelf.Ask({"a"}), both = shelf.Ask({"a", "b"}), b = shelf.Ask({"b"});
  CHECK(shelf.Run(absl::DataLossError("torn")) == "a");
  CHECK(a->outcome.status() == absl::DataLossError("torn"));
  CHECK(both->outcome.status() == absl::DataLossError("torn"));
  CHECK_FALSE(b->done);
  REQUIRE(shelf.book.AddLoad({.name = "b", .open = {}, .replace = true}).ok());
  shelf.book.Cancel(shelf.At("b")->job);
  CHECK(b->done);
  CHECK(b->outcome.value() == false);  // ask again
  CHECK(shelf.At("b")->waiting == 0);
}

TEST_CASE("A job that found no room queues behind the others, or ends where it was cancelled") {
  Shelf shelf({"a", "b"});
  shelf.Evict("a");
  shelf.Evict("b");
  const auto a = shelf.Ask({"a"}), b = shelf.Ask({"b"});
  const Job first = shelf.book.StartNext();
  CHECK(shelf.book.FirstWaiting(*first) == a);
  shelf.book.Postpone(first);
  CHECK(shelf.Run(absl::OkStatus()) == "b");
  CHECK(b->done);
  REQUIRE(shelf.book.StartNext() == first);
  shelf.book.EndWait(*a, absl::DeadlineExceededError("late"));
  shelf.book.EndWait(*a, true);  // it is over
  CHECK(absl::IsDeadlineExceeded(a->outcome.status()));
  CHECK(shelf.book.FirstWaiting(*first) == nullptr);
  first->cancel = true;
  shelf.book.Postpone(first);
  CHECK(first->done());
  CHECK(first->cancelled());
}

TEST_CASE("Versions that yield are told apart, and yield until others do") {
  Shelf shelf({"a", "b"});
  const std::vector<AdapterUse> a{{"a"}}, both{{"b"}, {"a"}}, b{{"b"}}, none{{"x"}};
  const std::vector<Version> yielding{shelf.At("a")};
  CHECK(shelf.book.SetYielding(yielding));
  CHECK_FALSE(shelf.book.SetYielding(yielding));
  CHECK(shelf.book.AnyYields(a));
  CHECK(shelf.book.AnyYields(both));
  CHECK_FALSE(shelf.book.AnyYields(b));
  CHECK_FALSE(shelf.book.AnyYields(none));
  CHECK(shelf.book.SetYielding({}));
  CHECK_FALSE(shelf.book.AnyYields(a));
}

}  // namespace
}  // namespace guildhall
