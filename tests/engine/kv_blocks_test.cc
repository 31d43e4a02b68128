// Blocks are counted exactly, and a prefix is found only if it is the same to the last token.
#include "engine/kv_blocks.h"

#include <catch2/catch.hpp>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace guildhall {
namespace {

std::vector<int32_t> Tokens(int32_t first, size_t blocks) {
  std::vector<int32_t> tokens(blocks * kKvBlockTokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// Allocates and registers all full blocks of `tokens`, beyond what the cache has.
std::vector<int32_t> Store(KvBlocks& blocks, const std::vector<int32_t>& tokens, uint64_t version = 0) {
  std::vector<int32_t> held;
  PrefixNode node = blocks.Acquire(version, tokens, static_cast<int64_t>(tokens.size()), held);
  for (size_t i = held.size(); i < tokens.size() / kKvBlockTokens; ++i) {
    held.push_back(blocks.Allocate());
    node = blocks.Register(held.back(), node, version,
                           std::span(tokens).subspan(i * kKvBlockTokens, kKvBlockTokens));
  }
  return held;
}

void ReleaseAll(KvBlocks& blocks, std::vector<int32_t>& held) {
  for (auto block = held.rbegin(); block != held.rend(); ++block) blocks.Release(*block);
  held.clear();
}

TEST_CASE("Blocks are given once and come back") {
  KvBlocks blocks(3, true);
  std::vector<int32_t> held = {blocks.Allocate(), blocks.Allocate(), blocks.Allocate()};
  CHECK(std::set<int32_t>(held.begin(), held.end()) == std::set<int32_t>{0, 1, 2});
  CHECK(blocks.available() == 0);
  ReleaseAll(blocks, held);
  CHECK(blocks.available() == 3);
  CHECK(blocks.cached() == 0);
}

TEST_CASE("A stored prefix is found in whole blocks, up to the limit, and only from its beginning") {
  KvBlocks blocks(8, true);
  const std::vector<int32_t> tokens = Tokens(0, 3);
  std::vector<int32_t> held = Store(blocks, tokens);
  CHECK(blocks.Find(0, tokens, 48).blocks == 3);
  CHECK(blocks.Find(0, tokens, 48).unreferenced == 0);
  CHECK(blocks.Find(0, tokens, 47).blocks == 2);
  CHECK(blocks.Find(0, tokens, 15).blocks == 0);
  CHECK(blocks.Find(0, std::span(tokens).subspan(16), 32).blocks == 0);  // the same tokens at another place
  std::vector<int32_t> other = tokens;
  other[20] = 999;
  CHECK(blocks.Find(0, other, 48).blocks == 1);

  ReleaseAll(blocks, held);
  CHECK(blocks.available() == 8);
  CHECK(blocks.cached() == 3);
  CHECK(blocks.Find(0, tokens, 48).unreferenced == 3);
  std::vector<int32_t> again;
  blocks.Acquire(0, tokens, 48, again);
  CHECK(blocks.cached() == 0);
  CHECK(blocks.available() == 5);
  CHECK(blocks.references(again[0]) == 1);
}

TEST_CASE("Versions of adapters never share a prefix") {
  KvBlocks blocks(8, true);
  const std::vector<int32_t> tokens = Tokens(0, 2);
  Store(blocks, tokens, /*version=*/7);
  CHECK(blocks.Find(7, tokens, 32).blocks == 2);
  CHECK(blocks.Find(0, tokens, 32).blocks == 0);
  CHECK(blocks.Find(8, tokens, 32).blocks == 0);
}

TEST_CASE("Equal hashes do not make equal prefixes") {
  KvBlocks blocks(16, true, /*hash_mask=*/0);  // every block in one bucket, with one hash
  for (int32_t i = 0; i < 4; ++i) Store(blocks, Tokens(100 * i, 2));
  for (int32_t i = 0; i < 4; ++i) CHECK(blocks.Find(0, Tokens(100 * i, 2), 32).blocks == 2);
  CHECK(blocks.Find(0, Tokens(50, 2), 32).blocks == 0);
  // The second block of one prefix behind the first of another.
  std::vector<int32_t> mixed = Tokens(0, 2);
  const std::vector<int32_t> foreign = Tokens(100, 2);
  std::copy(foreign.begin() + 16, foreign.end(), mixed.begin() + 16);
  CHECK(blocks.Find(0, mixed, 32).blocks == 1);
}

TEST_CASE("The block that nobody used for longest is forgotten first, tails before heads") {
  KvBlocks blocks(4, true);
  const std::vector<int32_t> first = Tokens(0, 2);
  const std::vector<int32_t> second = Tokens(500, 2);
  std::vector<int32_t> a = Store(blocks, first);
  std::vector<int32_t> b = Store(blocks, second);
  ReleaseAll(blocks, a);
  ReleaseAll(blocks, b);
  CHECK(blocks.cached() == 4);
  blocks.Allocate();
  CHECK(blocks.Find(0, first, 32).blocks == 1);
  CHECK(blocks.Find(0, second, 32).blocks == 2);
  // A use makes the other one the oldest.
  std::vector<int32_t> held;
  blocks.Acquire(0, first, 16, held);
  ReleaseAll(blocks, held);
  blocks.Allocate();
  CHECK(blocks.Find(0, first, 32).blocks == 1);
  CHECK(blocks.Find(0, second, 32).blocks == 1);
}

TEST_CASE("The same block computed twice is cached once, and what follows it is found") {
  KvBlocks blocks(8, true);
  const std::vector<int32_t> tokens = Tokens(0, 2);
  std::vector<int32_t> one = {blocks.Allocate()};
  std::vector<int32_t> two = {blocks.Allocate()};
  const std::span<const int32_t> head(tokens.data(), kKvBlockTokens);
  const PrefixNode node = blocks.Register(one[0], kRootNode, 0, head);
  CHECK(blocks.Register(two[0], kRootNode, 0, head) == node);
  two.push_back(blocks.Allocate());
  blocks.Register(two[1], node, 0, std::span(tokens).subspan(16));
  ReleaseAll(blocks, two);
  CHECK(blocks.cached() == 1);
  CHECK(blocks.Find(0, tokens, 32).blocks == 2);
}

TEST_CASE("A forgotten head hides the tail that was stored behind it") {
  KvBlocks blocks(3, true);
  const std::vector<int32_t> tokens = Tokens(0, 2);
  std::vector<int32_t> held = Store(blocks, tokens);
  blocks.Release(held[0]);  // against the custom: head first
  blocks.Release(held[1]);
  blocks.Allocate();
  blocks.Allocate();  // takes the head
  CHECK(blocks.Find(0, tokens, 32).blocks == 0);
}

TEST_CASE("Low ids are given first, so that high ones stay free") {
  KvBlocks blocks(6, true);
  std::vector<int32_t> held;
  for (int i = 0; i < 6; ++i) held.push_back(blocks.Allocate());
  CHECK(held == std::vector<int32_t>{0, 1, 2, 3, 4, 5});
  for (const int32_t block : {4, 1, 5, 3}) blocks.Release(block);
  CHECK(blocks.Allocate() == 1);
  CHECK(blocks.Allocate() == 3);
  CHECK(blocks.HeldEnd() == 4);
}

TEST_CASE("Blocks go out of use from the end, with the prefixes that they held, and come back empty") {
  KvBlocks blocks(6, true);
  const std::vector<int32_t> first = Tokens(0, 2), second = Tokens(500, 2);
  std::vector<int32_t> a = Store(blocks, first);   // 0, 1
  std::vector<int32_t> b = Store(blocks, second);  // 2, 3
  CHECK(blocks.HeldEnd() == 4);
  ReleaseAll(blocks, b);
  CHECK(blocks.HeldEnd() == 2);
  blocks.Shrink(3);  // between b's blocks
  CHECK(blocks.size() == 3);
  CHECK(blocks.total() == 6);
  CHECK(blocks.available() == 1);
  CHECK(blocks.cached() == 1);
  CHECK(blocks.Find(0, second, 32).blocks == 1);
  CHECK(blocks.Find(0, first, 32).blocks == 2);
  blocks.Shrink(2);
  CHECK(blocks.available() == 0);
  blocks.Grow(6);
  CHECK(blocks.available() == 4);
  CHECK(blocks.cached() == 0);
  CHECK(blocks.Find(0, second, 32).blocks == 0);
  for (int32_t i = 2; i < 6; ++i) CHECK(blocks.Allocate() == i);
  ReleaseAll(blocks, a);
  CHECK(blocks.HeldEnd() == 6);
}

TEST_CASE("With the cache off nothing is ever found") {
  KvBlocks blocks(4, false);
  std::vector<int32_t> held = Store(blocks, Tokens(0, 2));
  CHECK(blocks.Find(0, Tokens(0, 2), 32).blocks == 0);
  ReleaseAll(blocks, held);
  CHECK(blocks.cached() == 0);
}

TEST_CASE("Under random use every found prefix is the one that was stored") {
  KvBlocks blocks(24, true, /*hash_mask=*/3);
  std::mt19937 random(7);
  std::map<int32_t, std::vector<int32_t>> content;  // block -> the whole prefix that it ends
  std::vector<std::vector<int32_t>> held;
  for (int round = 0; round < 5000; ++round) {
    if (!held.empty() && (blocks.available() < 6 || random() % 2 == 0)) {
      const size_t victim = random() % held.size();
      ReleaseAll(blocks, held[victim]);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(victim));
      continue;
    }
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < 4; ++i) {
      const auto kind = static_cast<int32_t>(random() % 2);
      for (int j = 0; j < kKvBlockTokens; ++j) tokens.push_back(kind);
    }
    std::vector<int32_t> mine;
    PrefixNode node = blocks.Acquire(0, tokens, 64, mine);
    for (size_t i = 0; i < mine.size(); ++i) {
      CHECK(content[mine[i]] ==
            std::vector<int32_t>(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * 16)));
    }
    while (mine.size() < 4) {
      const size_t i = mine.size();
      mine.push_back(blocks.Allocate());
      node = blocks.Register(mine[i], node, 0, std::span(tokens).subspan(i * 16, 16));
      content[mine[i]].assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>((i + 1) * 16));
    }
    held.push_back(mine);
  }
  for (auto& mine : held) ReleaseAll(blocks, mine);
  CHECK(blocks.available() == 24);
}

}  // namespace
}  // namespace guildhall
