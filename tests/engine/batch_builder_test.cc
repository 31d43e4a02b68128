// A plan's arrays, by hand.
#include "engine/batch_builder.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "tests/engine/answers.h"

namespace guildhall {
namespace {

template <typename T>
std::vector<T> Copy(std::span<const T> values) {
  return {values.begin(), values.end()};
}

Sequence MakeSequence(int32_t length, int32_t computed, std::vector<int32_t> blocks, int32_t map_row) {
  Sequence sequence;
  std::vector<int32_t> prompt(static_cast<size_t>(length));
  std::iota(prompt.begin(), prompt.end(), 100);
  sequence.request = MakeRequest(prompt, Greedy(5));
  sequence.tokens = prompt;
  sequence.prompt_tokens = length;
  sequence.computed = computed;
  sequence.blocks = std::move(blocks);
  sequence.map_row = map_row;
  return sequence;
}

TEST_CASE("A chunk across a block border beside a decode") {
  BatchBuilder builder(16, 4, 8);
  Sequence chunk = MakeSequence(40, 14, {5, 3, 9}, 0);
  Sequence decode = MakeSequence(17, 16, {2, 7}, 1);
  const std::vector<BatchEntry> entries = {{&chunk, 4}, {&decode, 1}};
  const Batch batch = builder.Build(entries);
  CHECK(Copy(batch.tokens) == std::vector<int32_t>{114, 115, 116, 117, 116});
  CHECK(Copy(batch.positions) == std::vector<int32_t>{14, 15, 16, 17, 16});
  CHECK(Copy(batch.sequence) == std::vector<int32_t>{0, 0, 0, 0, 1});
  CHECK(Copy(batch.task) == std::vector<int32_t>{0, 0, 0, 0, 1});
  CHECK(Copy(batch.kv_slot) == std::vector<int64_t>{5 * 16 + 14, 5 * 16 + 15, 3 * 16, 3 * 16 + 1, 7 * 16});
  CHECK(batch.max_blocks == 3);
  CHECK(Copy(batch.block_table) == std::vector<int32_t>{5, 3, 9, 2, 7, 0});
  CHECK(Copy(batch.logit_rows) == std::vector<int32_t>{4});
}

TEST_CASE("Wanted prompt logits are rows of their own, from the first that was not delivered") {
  BatchBuilder builder(16, 4, 8);
  Sequence sequence = MakeSequence(10, 4, {0}, -1);
  sequence.request->sampling.prompt_logprobs = true;
  sequence.scored = 6;
  const std::vector<BatchEntry> entries = {{&sequence, 6}};
  CHECK(Copy(builder.Build(entries).logit_rows) == std::vector<int32_t>{2, 3, 4, 5});
}

TEST_CASE("No array moves between steps: nothing is allocated") {
  BatchBuilder builder(16, 4, 8);
  Sequence small = MakeSequence(2, 0, {0}, -1);
  Sequence large = MakeSequence(100, 90, {0, 1, 2, 3, 4, 5, 6}, -1);
  const std::vector<BatchEntry> first = {{&small, 1}};
  const std::vector<BatchEntry> second = {{&small, 2}, {&large, 10}};
  const Batch one = builder.Build(first);
  const Batch two = builder.Build(second);
  CHECK(one.tokens.data() == two.tokens.data());
  CHECK(one.kv_slot.data() == two.kv_slot.data());
  CHECK(one.block_table.data() == two.block_table.data());
}

}  // namespace
}  // namespace guildhall
