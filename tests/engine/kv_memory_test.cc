// The KV cache and adapters share one budget: the cache grows, gives back, and no answer changes.
#include "engine/kv_memory.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "engine/engine.h"
#include "engine/sequence_blocks.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

constexpr uint64_t kBlock = 1000;  // bytes
constexpr auto kKv = ByteBudget::Holder::kKvCache;
constexpr auto kAdapters = ByteBudget::Holder::kAdapters;

std::shared_ptr<ByteBudget> MakeBudget(uint64_t blocks) {
  return std::make_shared<ByteBudget>(blocks * kBlock);
}

TEST_CASE("The cache has its least share from the start and grows by chunks while the budget lasts") {
  FakeModel model({.kv_blocks = 64, .release_blocks = 5});
  KvBlocks blocks(64, true);
  const auto budget = MakeBudget(40);
  {
    KvMemory memory(model, blocks, {.budget = budget, .block_bytes = kBlock, .min_blocks = 7}, [] {});
    CHECK(blocks.size() == 7);
    CHECK(budget->used(kKv) == 7 * kBlock);
    CHECK(memory.Obtainable() == 33);
    memory.Provide(7);
    CHECK(blocks.size() == 7);  // they are there
    memory.Provide(8);
    CHECK(blocks.size() == 10);  // to the border of a chunk
    memory.Provide(14);
    CHECK(blocks.size() == 15);
    CHECK(memory.Obtainable() == 25);
    REQUIRE(budget->TryTake(kAdapters, 23 * kBlock + 500));
    CHECK(memory.Obtainable() == 1);
    memory.Provide(19);
    CHECK(blocks.size() == 16);  // as much as there is
    memory.Provide(19);
    CHECK(blocks.size() == 16);
    CHECK(budget->used(kKv) == 16 * kBlock);
    budget->Give(kAdapters, 23 * kBlock + 500);
    memory.Provide(64);
    CHECK(blocks.size() == 40);
  }
  CHECK(budget->free() == budget->total());
}

TEST_CASE("Drafts get the blocks that known rows leave, wherever their entry stands") {
  // One of three blocks is free. Both have a row to compute: the first one's fits in its block, behind it
  // come guesses that do not; the second one's row needs a block.
  const bool drafts_first = GENERATE(true, false);
  const int64_t total = GENERATE(3, 4);
  FakeModel model({.kv_blocks = total});
  SequenceBlocks blocks(model, SmallOptions(), [] {});
  Sequence guesses, plain;
  for (Sequence* sequence : {&guesses, &plain}) {
    sequence->computed = sequence == &guesses ? 15 : 16;
    sequence->tokens.assign(static_cast<size_t>(sequence->computed) + 1, 3);
    BatchEntry prompt{.sequence = sequence, .rows = sequence->computed};
    sequence->computed = 0;
    blocks.Provide({&prompt, 1});
    REQUIRE(blocks.Allocate(prompt) == SequenceBlocks::Given::kRows);
    sequence->computed = prompt.rows;
  }
  std::vector<BatchEntry> entries = {{.sequence = &guesses, .rows = 1 + 5}, {.sequence = &plain, .rows = 1}};
  if (!drafts_first) std::swap(entries[0], entries[1]);
  blocks.Provide(entries);
  for (BatchEntry& entry : entries) {
    CHECK(blocks.Allocate(entry) == SequenceBlocks::Given::kRows);
    CHECK(entry.rows == (entry.sequence == &plain || total == 3 ? 1 : 6));
  }
  CHECK(guesses.blocks.size() == (total == 3 ? 1 : 2));
  CHECK(plain.blocks.size() == 2);
  blocks.Release(guesses);
  blocks.Release(plain);
}

TEST_CASE("A small cache grows in 32 steps, and no further than the model's blocks") {
  FakeModel model({.kv_blocks = 320});
  KvBlocks blocks(320, true);
  const auto budget = MakeBudget(1000);
  KvMemory memory(model, blocks, {.budget = budget, .block_bytes = kBlock, .min_blocks = 1}, [] {});
  memory.Provide(2);
  CHECK(blocks.size() == 10);
  memory.Provide(1000);
  CHECK(blocks.size() == 320);
  CHECK(memory.Obtainable() == 0);
}

TEST_CASE("What adapters want is given from the end, a piece at a time, and not what somebody holds") {
  FakeModel model({.kv_blocks = 64, .release_blocks = 4});
  KvBlocks blocks(64, true);
  const auto budget = MakeBudget(64);
  int wishes = 0;
  KvMemory memory(model, blocks, {.budget = budget, .block_bytes = kBlock, .min_blocks = 8},
                  [&] { ++wishes; });
  const int64_t released = model.released_blocks();  // all but the first
  memory.Provide(64);
  for (int32_t i = 0; i < 20; ++i) REQUIRE(blocks.Allocate() == i);
  CHECK_FALSE(memory.GiveBack());  // nobody wants any
  budget->WantOfKv(9 * kBlock + 1);
  CHECK(wishes == 1);
  CHECK(memory.wanted());
  CHECK(memory.GiveBack());
  CHECK(blocks.size() == 60);
  CHECK(budget->owed_by_kv() == 5 * kBlock + 1);
  CHECK(memory.GiveBack());
  CHECK(memory.GiveBack());
  CHECK(blocks.size() == 54);  // ten blocks: the wish in whole ones
  CHECK(budget->free() == 10 * kBlock);
  CHECK(model.released_blocks() - released == 10);
  CHECK_FALSE(memory.GiveBack());
  CHECK(memory.wanted());  // until it is withdrawn
  budget->WantOfKv(0);
  CHECK_FALSE(memory.wanted());
  CHECK(wishes == 1);

  budget->WantOfKv(64 * kBlock);
  while (memory.GiveBack()) {
  }
  CHECK(blocks.size() == 20);
  for (int32_t i = 0; i < 20; ++i) blocks.Release(i);
  while (memory.GiveBack()) {
  }
  CHECK(blocks.size() == 8);
  CHECK(budget->used(kKv) == 8 * kBlock);
}

TEST_CASE("While adapters wait, cached prefixes are given up before the cache grows, and it grows exactly") {
  FakeModel model({.kv_blocks = 64, .release_blocks = 8});
  KvBlocks blocks(64, true);
  const auto budget = MakeBudget(64);
  KvMemory memory(model, blocks, {.budget = budget, .block_bytes = kBlock, .min_blocks = 4}, [] {});
  const std::vector<int32_t> tokens(kKvBlockTokens, 5);
  const int32_t cached = blocks.Allocate();
  blocks.Register(cached, kRootNode, kBaseSpace, tokens);
  blocks.Release(cached);
  budget->WantOfKv(100 * kBlock);
  memory.Provide(4);
  CHECK(blocks.size() == 4);
  memory.Provide(6);
  CHECK(blocks.size() == 6);
  budget->WantOfKv(0);
  memory.Provide(6);  // five are unused, and one is worth keeping
  CHECK(blocks.size() == 8);
}

TEST_CASE("Without a budget all blocks are there and stay") {
  FakeModel model;
  KvBlocks blocks(64, true);
  KvMemory memory(model, blocks, {}, [] {});
  CHECK(blocks.size() == 64);
  CHECK(memory.Obtainable() == 0);
  CHECK_FALSE(memory.wanted());
  CHECK_FALSE(memory.GiveBack());
}

EngineOptions WithBudget(std::shared_ptr<ByteBudget> budget, int64_t min_blocks) {
  EngineOptions options = SmallOptions();
  options.budget = std::move(budget);
  options.kv_block_bytes = kBlock;
  options.min_kv_blocks = min_blocks;
  return options;
}

// Waits for what another thread does.
template <typename Condition>
void Await(Condition condition) {
  const absl::Time limit = absl::Now() + absl::Minutes(1);
  while (!condition()) {
    REQUIRE(absl::Now() < limit);
    std::this_thread::yield();
  }
}

TEST_CASE("An engine takes memory as it serves, and an idle one gives it back when adapters want it") {
  FakeModel model({.kv_blocks = 64});
  const auto budget = MakeBudget(64);
  {
    Engine engine(model, WithBudget(budget, 4), BaseTask());
    CHECK(engine.Status().kv_blocks == 4);
    CHECK(engine.Status().kv_blocks_free == 4);
    CHECK(engine.Status().kv_blocks_most == 64);
    engine.Start();
    const auto ask = [&](int32_t first) {
      auto request = MakeRequest(std::vector<int32_t>(160, first), Greedy(10));
      REQUIRE(engine.Submit(request).ok());
      const Answer answer = Collect(*request->stream);
      CHECK(answer.tokens == SoloTokens(*request, 61));
      return answer.end.usage.cached_tokens;
    };
    CHECK(ask(1) == 0);
    CHECK(ask(2) == 0);
    CHECK(ask(2) == 144);
    EngineStatus status = engine.Status();
    CHECK(status.kv_blocks >= 20);
    CHECK(status.kv_blocks == status.kv_blocks_free);
    CHECK(budget->used(kKv) == static_cast<uint64_t>(status.kv_blocks) * kBlock);

    budget->WantOfKv(64 * kBlock);
    Await([&] { return budget->used(kKv) == 4 * kBlock; });
    REQUIRE(budget->TryTake(kAdapters, 50 * kBlock));
    budget->WantOfKv(0);
    CHECK(ask(2) <= 64);  // at most the four blocks that stayed
    CHECK(ask(1) <= 64);
    CHECK(engine.Status().kv_blocks == 14);
    CHECK(budget->free() == 0);
    budget->Give(kAdapters, 50 * kBlock);
  }
  CHECK(budget->free() == budget->total());
  CHECK(model.released_blocks() >= 30);
}

TEST_CASE("A request that needs what adapters hold waits for it") {
  FakeModel model({.kv_blocks = 64});
  const auto budget = MakeBudget(64);
  Engine engine(model, WithBudget(budget, 4), BaseTask());
  REQUIRE(budget->TryTake(kAdapters, 60 * kBlock));
  engine.Start();
  std::vector<std::shared_ptr<Request>> requests = {
      MakeRequest({1, 2, 3}, Greedy(120)),                     // grows beyond four blocks
      MakeRequest(std::vector<int32_t>(100, 4), Greedy(20))};  // begins beyond them
  for (const auto& request : requests) REQUIRE(engine.Submit(request).ok());
  Await([&] { return model.steps() >= 60; });
  budget->Give(kAdapters, 60 * kBlock);
  for (const auto& request : requests) {
    const Answer answer = Collect(*request->stream);
    CHECK(answer.end.status.ok());
    CHECK(answer.tokens == SoloTokens(*request, 61));
  }
}

TEST_CASE("A request does not wait for adapters longer than the stall limit, and those that fit go on") {
  FakeModel model({.kv_blocks = 64});
  const auto budget = MakeBudget(64);
  EngineOptions options = WithBudget(budget, 4);
  options.stall_limit = absl::Milliseconds(30);
  Engine engine(model, options, BaseTask());
  REQUIRE(budget->TryTake(kAdapters, 60 * kBlock));
  engine.Start();
  auto large = MakeRequest(std::vector<int32_t>(100, 4), Greedy(20));
  auto small = MakeRequest({5, 6}, Greedy(40));
  REQUIRE(engine.Submit(large).ok());
  REQUIRE(engine.Submit(small).ok());
  const Answer answer = Collect(*large->stream);
  CHECK(answer.end.reason == FinishReason::kError);
  CHECK(answer.end.status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(std::string(answer.end.status.message()).find("adapters hold the rest of the budget") !=
        std::string::npos);
  CHECK(Collect(*small->stream).tokens == SoloTokens(*small, 61));
  CHECK(engine.Status().kv_blocks_free == 4);
}

TEST_CASE("What the whole budget cannot hold is refused at once") {
  FakeModel model({.kv_blocks = 64});
  Engine engine(model, WithBudget(MakeBudget(10), 2), BaseTask());
  CHECK(engine.Submit(MakeRequest(std::vector<int32_t>(160, 1), Greedy(2))).code() ==
        absl::StatusCode::kOutOfRange);
  CHECK(engine.Submit(MakeRequest(std::vector<int32_t>(160, 1), Greedy(1))).ok());
}

TEST_CASE("However memory is taken beside it, the engine answers right and its books are exact") {
  const uint32_t seed = GENERATE(1u, 2u, 3u, 4u);
  FakeModel model({.kv_blocks = 48, .release_blocks = 1 + seed % 3});
  const auto budget = MakeBudget(40);
  EngineOptions options = WithBudget(budget, 10);
  options.prefix_cache = seed != 4;
  {
    Engine engine(model, options, BaseTask());
    engine.Start();
    std::atomic<bool> done{false};
    std::thread adapters([&] {
      std::mt19937 random(seed);
      uint64_t held = 0;
      while (!done) {
        const uint64_t bytes = 1 + random() % (8 * kBlock);
        if (random() % 3 > 0) {
          if (!budget->TryTake(kAdapters, bytes)) {
            budget->WantOfKv(bytes);
            for (int i = 0; i < 20 && budget->free() < bytes; ++i) std::this_thread::yield();
            if (budget->TryTake(kAdapters, bytes)) held += bytes;
            budget->WantOfKv(0);
          } else {
            held += bytes;
          }
        } else {
          const uint64_t given = std::min(held, 3 * bytes);
          budget->Give(kAdapters, given);
          held -= given;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
      }
      budget->Give(kAdapters, held);
    });
    std::mt19937 random(100 + seed);
    std::vector<std::shared_ptr<Request>> open;
    for (int i = 0; i < 300; ++i) {
      std::vector<int32_t> prompt(1 + random() % 120, static_cast<int32_t>(random() % 6));
      if (random() % 2 == 0) prompt.back() = static_cast<int32_t>(random() % 61);
      open.push_back(MakeRequest(prompt, Greedy(1 + static_cast<int32_t>(random() % 40))));
      if (random() % 3 == 0) open.back()->adapters = MakeSet(1 + random() % 2);
      REQUIRE(engine.Submit(open.back()).ok());
      while (open.size() > 12 || (i == 299 && !open.empty())) {
        const auto at = open.begin() + static_cast<std::ptrdiff_t>(random() % open.size());
        const Answer answer = Collect(*(*at)->stream);
        INFO(answer.end.status.ToString());
        CHECK(answer.tokens == SoloTokens(**at, 61));
        open.erase(at);
      }
    }
    done = true;
    adapters.join();
    const EngineStatus status = engine.Status();
    CHECK(status.kv_blocks_free == status.kv_blocks);
    CHECK(budget->used(kKv) == static_cast<uint64_t>(status.kv_blocks) * kBlock);
    CHECK(budget->used(kAdapters) == 0);
    CHECK(model.released_blocks() > 0);
  }
  CHECK(budget->free() == budget->total());
}

}  // namespace
}  // namespace guildhall
