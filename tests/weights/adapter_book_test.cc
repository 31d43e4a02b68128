// The rules of adapters' lives, as tables: no thread, no page, no clock.
#include "weights/adapter_book.h"

#include <catch2/catch.hpp>

#include "base/str_cat.h"
#include "tests/weights/tiny_adapter.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using Version = AdapterBook::Version;
using Job = AdapterBook::Job;
using Names = std::vector<std::string>;

LoadedAdapter Loaded(int64_t rank_columns = 0, bool kv_b = false) {
  auto resident = std::make_shared<ResidentAdapter>();
  resident->weights.rank_columns = rank_columns;
  resident->kv_b = kv_b;
  LoadedAdapter loaded;
  loaded.resident = std::move(resident);
  return loaded;
}

// A book and the moments at which things happen to it: each is a second later than the one before.
struct Shelf {
  AdapterBook book;
  absl::Time now = absl::UnixEpoch();

  absl::Time Later() { return now += absl::Seconds(1); }

  // The oldest job comes into memory.
  absl::Status Run(LoadedAdapter loaded = Loaded()) {
    const Job job = book.StartNext();
    absl::Status status = book.CheckPublish(*job);
    if (status.ok()) book.Publish(*job, std::move(loaded), Later());
    book.Finish(*job, status);
    return status;
  }
  absl::Status LoadWith(LoadRequest request, LoadedAdapter loaded = Loaded()) {
    const auto job = book.AddLoad(request);
    return job.ok() ? Run(std::move(loaded)) : job.status();
  }
  absl::Status Load(const std::string& name) { return LoadWith({.name = name, .open = {}}); }
  Version At(const std::string& name) { return book.Serving(name).value(); }

  std::vector<Version> Read(const Names& names) {
    std::vector<AdapterUse> uses;
    for (const std::string& name : names) uses.push_back({name});
    return book.AddReaders(uses, Later()).value();
  }
  void Drop(const std::vector<Version>& versions) { book.DropReaders(versions, Later()); }

  Names Evictable() {
    Names names;
    for (const Version& version : book.Evictable()) names.push_back(version->info.name);
    return names;
  }
  Names Resident() {
    Names names;
    for (const Version& version : book.Versions()) {
      CHECK((version->info.tier == AdapterTier::kResident) == (version->resident != nullptr));
      if (version->resident != nullptr) {
        names.push_back(StrCat(version->info.name, version->info.version));
      }
    }
    return names;
  }
  StatusCode Unload(const std::string& name) {
    const auto version = book.BeginUnload(name, std::nullopt);
    if (!version.ok()) return version.status().code();
    if (!AdapterBook::Unused(**version)) return book.GiveUpUnload(**version, absl::Seconds(3)).code();
    book.EndUnload(*version);
    return StatusCode::kOk;
  }
};

TEST_CASE("Compare and swap: what is there, what is expected, what becomes of the load") {
  struct Case {
    bool there;
    std::optional<uint64_t> expected;
    bool replace;
    StatusCode code;
  };
  const std::vector<Case> cases{
      {false, {}, false, StatusCode::kOk},
      {false, 0, false, StatusCode::kOk},
      {false, 1, false, StatusCode::kAborted},
      {false, {}, true, StatusCode::kOk},
      {false, 7, true, StatusCode::kOk},
      {true, {}, false, StatusCode::kAlreadyExists},
      {true, 0, false, StatusCode::kAlreadyExists},
      {true, 1, false, StatusCode::kOk},
      {true, 2, false, StatusCode::kAborted},
      {true, {}, true, StatusCode::kOk},
  };
  for (const Case& one : cases) {
    INFO(one.there << " " << one.expected.value_or(99) << " " << one.replace);
    const LoadRequest request{
        .name = "a", .open = {}, .expected_version = one.expected, .replace = one.replace};
    Shelf shelf;
    if (one.there) REQUIRE(shelf.Load("a").ok());
    CHECK(shelf.LoadWith(request).code() == one.code);
    CHECK(shelf.Resident() == (one.there ? Names{one.code == StatusCode::kOk ? "a2" : "a1"}
                               : one.code == StatusCode::kOk ? Names{"a1"}
                                                             : Names{}));
    // The same is asked once more when it has been packed, for what was there may have been unloaded.
    if (!one.there || one.code != StatusCode::kOk) continue;
    Shelf late;
    REQUIRE(late.Load("a").ok());
    REQUIRE(late.book.AddLoad(request).ok());
    REQUIRE(late.Unload("a") == StatusCode::kOk);
    CHECK(late.Run().code() == (one.replace ? StatusCode::kOk : StatusCode::kAborted));
  }
}

TEST_CASE("A name has one first load at a time, and none while its version is being unloaded") {
  Shelf shelf;
  REQUIRE(shelf.book.AddLoad({.name = "a", .open = {}}).ok());
  CHECK(shelf.book.AddLoad({.name = "a", .open = {}, .replace = true}).status().code() ==
        StatusCode::kAborted);
  CHECK(shelf.book.Serving("a").status().code() == StatusCode::kNotFound);
  CHECK(shelf.book.ServingOrLoading("a").value()->info.state == AdapterState::kLoading);
  CHECK(shelf.book.BeginUnload("a", std::nullopt).status().code() == StatusCode::kFailedPrecondition);
  REQUIRE(shelf.Run().ok());
  const std::vector<Version> held = shelf.Read({"a"});
  REQUIRE(shelf.book.BeginUnload("a", 1).ok());
  CHECK(shelf.book.AddLoad({.name = "a", .open = {}, .replace = true}).status().code() ==
        StatusCode::kAborted);
  CHECK(shelf.book.BeginUnload("a", 1).status().code() == StatusCode::kAborted);
}

TEST_CASE("The least recently used leaves first: loading, asking and dropping are uses") {
  struct Case {
    std::string events;  // +x: a request asks for it; -x: that request drops it
    Names order;
  };
  const std::vector<Case> cases{
      {"", {"a", "b", "c"}},
      {"+a-a", {"b", "c", "a"}},
      {"+b-b+a-a", {"c", "b", "a"}},
      {"+a+b-b-a", {"c", "b", "a"}},  // in the order in which they were dropped
      {"+a+b-a-b", {"c", "a", "b"}},
      {"+a", {"b", "c"}},
      {"+a+a-a", {"b", "c"}},  // one reader is left
      {"+a+b+c", {}},
  };
  for (const Case& one : cases) {
    INFO(one.events);
    Shelf shelf;
    for (const char* name : {"a", "b", "c"}) REQUIRE(shelf.Load(name).ok());
    for (size_t i = 0; i < one.events.size(); i += 2) {
      const std::string name = one.events.substr(i + 1, 1);
      if (one.events[i] == '+') shelf.Read({name});
      if (one.events[i] == '-') shelf.Drop({shelf.At(name)});
    }
    CHECK(shelf.Evictable() == one.order);
    const bool evicted = shelf.book.EvictOldest();
    CHECK(evicted == !one.order.empty());
    if (!evicted) continue;
    const Version version = shelf.At(one.order.front());
    CHECK(version->info.tier == AdapterTier::kDisk);
    CHECK(version->info.state == AdapterState::kReady);
    CHECK(shelf.Evictable() == Names(one.order.begin() + 1, one.order.end()));
  }
}

TEST_CASE("Who is pinned, read, unloaded or on its way cannot leave") {
  Shelf shelf;
  REQUIRE(shelf.LoadWith({.name = "pinned", .open = {}, .pin = true}).ok());
  for (const char* name : {"read", "draining", "disk", "free"}) REQUIRE(shelf.Load(name).ok());
  const std::vector<Version> held = shelf.Read({"read", "draining"});
  REQUIRE(shelf.book.BeginUnload("draining", std::nullopt).ok());
  CHECK(shelf.Evictable() == Names{"disk", "free"});
  REQUIRE(shelf.book.EvictOldest());
  const Job job = shelf.book.AddReturn(shelf.At("disk"));
  CHECK(shelf.Evictable() == Names{"free"});
  CHECK(shelf.book.AddReturn(shelf.At("disk")) == job);  // joined
  REQUIRE(shelf.book.StartNext() == job);
  shelf.book.Publish(*job, Loaded(), shelf.Later());
  CHECK(shelf.Evictable() == Names{"free"});  // whoever waits for it has not heard yet
  shelf.book.Finish(*job, absl::OkStatus());
  CHECK(shelf.Evictable() == Names{"free", "disk"});
  CHECK(shelf.At("disk")->info.version == 4);
  CHECK(shelf.book.Pinned() == std::vector{shelf.At("pinned")->resident});
  CHECK(shelf.book.Read().size() == 2);
}

TEST_CASE("Readers are counted for all adapters of a request or for none") {
  Shelf shelf;
  REQUIRE(shelf.Load("a").ok());
  REQUIRE(shelf.Load("b").ok());
  REQUIRE(shelf.book.AddLoad({.name = "loading", .open = {}}).ok());
  const std::vector<Version> b = shelf.Read({"b"});
  REQUIRE(shelf.book.BeginUnload("b", std::nullopt).ok());
  struct Case {
    std::string second;
    StatusCode code;
    std::string message;
  };
  for (const Case& one : {Case{"none", StatusCode::kNotFound, "adapter 'none' is not loaded"},
                          Case{"loading", StatusCode::kNotFound, "adapter 'loading' is still being loaded"},
                          Case{"b", StatusCode::kFailedPrecondition, "adapter 'b' is being unloaded"}}) {
    const std::vector<AdapterUse> uses{{"a"}, {one.second}};
    const absl::Status status = shelf.book.AddReaders(uses, shelf.Later()).status();
    CHECK(status.code() == one.code);
    CHECK(status.message() == one.message);
    CHECK(shelf.At("a")->info.readers == 0);
  }
  CHECK(shelf.Read({"a", "a"}).size() == 2);
  CHECK(shelf.At("a")->info.readers == 2);
  CHECK(shelf.At("a")->info.last_used == shelf.now);
}

TEST_CASE("A replaced version serves its readers and leaves with the last of them") {
  Shelf shelf;
  REQUIRE(shelf.LoadWith({.name = "a", .open = {}, .pin = true}).ok());
  const std::vector<Version> one = shelf.Read({"a"}), two = shelf.Read({"a"});
  REQUIRE(shelf.LoadWith({.name = "a", .open = {}, .expected_version = 1}).ok());
  CHECK(shelf.Resident() == Names{"a1", "a2"});
  CHECK(shelf.At("a")->info.pinned);  // as what it replaced
  CHECK(one[0]->info.state == AdapterState::kDraining);
  CHECK(shelf.book.Pinned().size() == 1);
  CHECK(shelf.book.Read().size() == 1);
  CHECK(shelf.Read({"a"})[0]->info.version == 2);
  shelf.Drop(one);
  CHECK(shelf.Resident() == Names{"a1", "a2"});
  shelf.Drop(two);
  CHECK(shelf.Resident() == Names{"a2"});
  CHECK(shelf.book.Versions().size() == 1);
  // One that nobody reads leaves at once, and a third takes the place of the second.
  shelf.Drop({shelf.At("a")});
  REQUIRE(shelf.LoadWith({.name = "a", .open = {}, .replace = true}).ok());
  CHECK(shelf.Resident() == Names{"a3"});
}

TEST_CASE("What a job that is done means for those who waited") {
  enum class Event { kNothing, kReplace, kBeginUnload, kGiveUpUnload, kFail };
  struct Case {
    Event event;
    absl::StatusOr<bool> outcome;
  };
  for (const Case& one :
       {Case{Event::kNothing, true}, Case{Event::kReplace, false},
        Case{Event::kBeginUnload, absl::FailedPreconditionError("adapter 'a' is being unloaded")},
        Case{Event::kGiveUpUnload, false}, Case{Event::kFail, absl::DataLossError("torn")}}) {
    INFO(static_cast<int>(one.event));
    Shelf shelf;
    REQUIRE(shelf.Load("a").ok());
    const Version version = shelf.At("a");
    if (one.event == Event::kReplace)
      REQUIRE(shelf.book.AddLoad({.name = "a", .open = {}, .replace = true}).ok());
    REQUIRE(shelf.book.EvictOldest());
    const Job job = shelf.book.AddReturn(version);
    if (one.event == Event::kReplace) REQUIRE(shelf.Run().ok());
    if (one.event != Event::kReplace) REQUIRE(shelf.book.StartNext() == job);
    if (one.event == Event::kBeginUnload || one.event == Event::kGiveUpUnload) {
      REQUIRE(shelf.book.BeginUnload("a", std::nullopt).ok());
      REQUIRE(job->cancel);
      REQUIRE_FALSE(job->done());  // it runs: its thread sees to it
    }
    if (one.event == Event::kGiveUpUnload) {
      const absl::Status status = shelf.book.GiveUpUnload(*version, absl::Seconds(3));
      CHECK(status.message() ==
            "adapter 'a' (version 1): its load from disk is still ending after 3s: it stays loaded; wait "
            "longer");
    }
    if (!job->done()) {
      absl::Status status = one.event == Event::kFail ? one.outcome.status() : shelf.book.CheckPublish(*job);
      if (status.ok()) shelf.book.Publish(*job, Loaded(), shelf.Later());
      shelf.book.Finish(*job, status);
    }
    CHECK(version->job == nullptr);
    CHECK(AdapterBook::Outcome(*job) == one.outcome);
  }
}

TEST_CASE("What is queued is cancelled at once, what runs is told") {
  Shelf shelf;
  const Job running = shelf.book.AddLoad({.name = "a", .open = {}}).value();
  const Job queued = shelf.book.AddLoad({.name = "b", .open = {}}).value();
  REQUIRE(shelf.book.StartNext() == running);
  for (const Job& job : {running, queued}) shelf.book.Cancel(job);
  CHECK(queued->done());
  CHECK(queued->cancelled());
  CHECK(queued->status.message() == "adapter 'b': the load was cancelled");
  CHECK(shelf.book.ServingOrLoading("b").status().code() == StatusCode::kNotFound);
  CHECK_FALSE(shelf.book.has_queued());
  CHECK_FALSE(running->done());
  CHECK(shelf.book.CheckPublish(*running).code() == StatusCode::kCancelled);
  shelf.book.Finish(*running, shelf.book.CheckPublish(*running));
  CHECK(shelf.book.Versions().empty());
  shelf.book.Cancel(running);  // it is over
  // A load that was cancelled leaves what it would have replaced.
  REQUIRE(shelf.Load("c").ok());
  const Job replacing = shelf.book.AddLoad({.name = "c", .open = {}, .replace = true}).value();
  shelf.book.CancelAll();
  CHECK(replacing->cancelled());
  CHECK(shelf.Resident() == Names{"c3"});
  shelf.book.Clear();
  CHECK(shelf.book.Versions().empty());
}

TEST_CASE("Unloading: who is asked for what, and what stays") {
  Shelf shelf;
  CHECK(shelf.book.BeginUnload("a", std::nullopt).status().message() == "adapter 'a' is not loaded");
  REQUIRE(shelf.Load("a").ok());
  CHECK(shelf.book.BeginUnload("a", 2).status().message() ==
        "adapter 'a': version 2 was expected, found version 1");
  const std::vector<Version> held = shelf.Read({"a"});
  const Version version = shelf.book.BeginUnload("a", 1).value();
  CHECK(
      shelf.book.GiveUpUnload(*version, absl::Milliseconds(5)).message() ==
      "adapter 'a' (version 1) is still read by 1 request after 5ms: it stays loaded; wait longer, or cancel"
      " them");
  CHECK(version->info.state == AdapterState::kReady);
  shelf.Drop(held);
  CHECK(shelf.Unload("a") == StatusCode::kOk);
  CHECK(shelf.book.Versions().empty());
  CHECK(shelf.Unload("a") == StatusCode::kNotFound);
  REQUIRE(shelf.Load("a").ok());
  CHECK(shelf.At("a")->info.version == 2);  // numbers are never used again
}

TEST_CASE("What has left memory is remembered until it is freed") {
  Shelf shelf;
  REQUIRE(shelf.Load("a").ok());
  REQUIRE(shelf.Load("b").ok());
  const std::shared_ptr<Freed> freed = shelf.At("a")->resident->freed;
  REQUIRE(shelf.book.EvictOldest());
  REQUIRE(shelf.Unload("b") == StatusCode::kOk);
  CHECK(shelf.book.leaving().size() == 2);
  shelf.book.SetFreed(*freed, 4096);
  REQUIRE(shelf.book.leaving().size() == 1);
  CHECK(freed->done);
  CHECK(freed->bytes == 4096);
  CHECK_FALSE(shelf.book.leaving()[0]->done);
}

TEST_CASE("Sets keep their ids while their versions exist, and ids are never used again") {
  SetRegistry sets;
  const auto add = [&](const SetRegistry::Key& key) {
    auto set = std::make_shared<AdapterSet>();
    set->rank_columns = static_cast<int64_t>(key.size()) * 16;
    sets.Add(key, set);
    return set;
  };
  const SetRegistry::Key a{{1, 0}}, half{{1, 7}}, ab{{1, 0}, {2, 0}}, ba{{2, 0}, {1, 0}};
  CHECK_FALSE(sets.Knows(a));
  auto held = add(a);
  CHECK(sets.Find(a) == held);
  CHECK(held->id == 1);
  CHECK(add(half)->id == 2);
  CHECK(add(ab)->id == 3);
  CHECK(add(ba)->id == 4);
  CHECK(sets.MostRankColumns() == 16);  // the others are held by nobody
  CHECK(sets.Find(ab) == nullptr);
  CHECK(sets.Knows(ab));
  CHECK(add(ab)->id == 3);
  sets.Forget(2);
  CHECK_FALSE(sets.Knows(ab));
  CHECK_FALSE(sets.Knows(ba));
  CHECK(sets.Find(a) == held);
  CHECK(add(ab)->id == 5);
}

TEST_CASE("The workspace counts what is in memory, and what readers of replaced versions hold") {
  Shelf shelf;
  REQUIRE(shelf.LoadWith({.name = "a", .open = {}}, Loaded(48, true)).ok());
  REQUIRE(shelf.LoadWith({.name = "b", .open = {}}, Loaded(16)).ok());
  CHECK(shelf.book.MostRankColumns() == 48);
  CHECK(shelf.book.AnyChangesKvB());
  const std::vector<Version> held = shelf.Read({"a"});
  REQUIRE(shelf.LoadWith({.name = "a", .open = {}, .replace = true}, Loaded(32)).ok());
  CHECK(shelf.book.MostRankColumns() == 48);
  shelf.Drop(held);
  CHECK(shelf.book.MostRankColumns() == 32);
  CHECK_FALSE(shelf.book.AnyChangesKvB());
}

}  // namespace
}  // namespace guildhall
