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

std::vector<int32_t> Rows(std::span<const OutputRow> outputs) {
  std::vector<int32_t> rows;
  for (const OutputRow& output : outputs) {
    CHECK(output.kind == OutputRow::Kind::kLogits);
    rows.push_back(output.row);
  }
  return rows;
}

Sequence MakeSequence(int32_t length, int32_t computed, std::vector<int32_t> blocks,
                      std::shared_ptr<const AdapterSet> adapters = nullptr) {
  Sequence sequence;
  std::vector<int32_t> prompt(static_cast<size_t>(length));
  std::iota(prompt.begin(), prompt.end(), 100);
  auto request = MakeRequest(prompt, Greedy(5));
  request->adapters = std::move(adapters);
  sequence.request = std::move(request);
  sequence.tokens = prompt;
  sequence.prompt_tokens = length;
  sequence.computed = computed;
  sequence.blocks = std::move(blocks);
  return sequence;
}

TEST_CASE("A chunk across a block border beside a decode") {
  BatchBuilder builder(16, 4, 8);
  Sequence chunk = MakeSequence(40, 14, {5, 3, 9});
  Sequence decode = MakeSequence(17, 16, {2, 7}, MakeSet(4));
  std::vector<BatchEntry> entries = {{&chunk, 4}, {&decode, 1}};
  const Batch batch = builder.Build(entries);
  CHECK(Copy(batch.tokens) == std::vector<int32_t>{114, 115, 116, 117, 116});
  CHECK(Copy(batch.positions) == std::vector<int32_t>{14, 15, 16, 17, 16});
  CHECK(Copy(batch.sequence) == std::vector<int32_t>{0, 0, 0, 0, 1});
  CHECK(Copy(batch.set) == std::vector<int32_t>{-1, -1, -1, -1, 0});
  REQUIRE(batch.sets.size() == 1);
  CHECK(batch.sets[0]->id == 4);
  CHECK(Copy(batch.kv_place) == std::vector<int64_t>{5 * 16 + 14, 5 * 16 + 15, 3 * 16, 3 * 16 + 1, 7 * 16});
  CHECK(batch.max_blocks == 3);
  CHECK(Copy(batch.block_table) == std::vector<int32_t>{5, 3, 9, 2, 7, 0});
  CHECK(Rows(batch.outputs) == std::vector<int32_t>{4});
}

TEST_CASE("Rows are ordered by adapter set: the base first, then as the sets appear, each in one segment") {
  BatchBuilder builder(16, 8, 8);
  const auto version_1 = MakeSet(7), version_2 = MakeSet(3);
  std::vector<Sequence> sequences;
  sequences.push_back(MakeSequence(1, 0, {0}, version_1));
  sequences.push_back(MakeSequence(2, 0, {1}));
  sequences.push_back(MakeSequence(3, 0, {2}, version_2));
  sequences.push_back(MakeSequence(4, 2, {3}, version_1));
  sequences.push_back(MakeSequence(5, 4, {4}));
  std::vector<BatchEntry> entries;
  for (Sequence& sequence : sequences)
    entries.push_back({.sequence = &sequence, .rows = sequence.length() - sequence.computed});
  const Batch batch = builder.Build(entries);
  CHECK(Copy(batch.sets) == std::vector<const AdapterSet*>{version_1.get(), version_2.get()});
  CHECK(Copy(batch.set) == std::vector<int32_t>{-1, -1, -1, 0, 0, 0, 1, 1, 1});
  CHECK(Copy(batch.positions) == std::vector<int32_t>{0, 1, 4, 0, 2, 3, 0, 1, 2});
  CHECK(Copy(batch.sequence) == std::vector<int32_t>{0, 0, 1, 2, 3, 3, 4, 4, 4});
  CHECK(Copy(batch.block_table) == std::vector<int32_t>{1, 4, 0, 3, 2});
  CHECK(Rows(batch.outputs) == std::vector<int32_t>{1, 2, 3, 5, 8});
  // The logit rows come in the entries' new order.
  const std::vector<int32_t> lengths = {2, 5, 1, 4, 3};
  for (size_t i = 0; i < 5; ++i) CHECK(entries[i].sequence->length() == lengths[i]);
  CHECK(batch.tables == nullptr);
}

TEST_CASE("A batch without adapters has no sets, and keeps the order that it was given") {
  BatchBuilder builder(16, 4, 8);
  Sequence with = MakeSequence(2, 0, {0}, MakeSet(1));
  Sequence one = MakeSequence(1, 0, {1}), two = MakeSequence(2, 0, {2});
  std::vector<BatchEntry> mixed = {{&with, 1}};
  REQUIRE(builder.Build(mixed).sets.size() == 1);
  std::vector<BatchEntry> entries = {{&two, 1}, {&one, 1}};
  const Batch batch = builder.Build(entries);
  CHECK(batch.sets.empty());
  CHECK(Copy(batch.set) == std::vector<int32_t>{-1, -1});
  CHECK(entries[0].sequence == &two);
}

TEST_CASE("Wanted prompt logits are rows of their own, from the first that was not delivered") {
  BatchBuilder builder(16, 4, 8);
  Sequence sequence = MakeSequence(10, 4, {0});
  sequence.request->sampling.prompt_logprobs = true;
  sequence.scored = 6;
  std::vector<BatchEntry> entries = {{&sequence, 6}};
  CHECK(Rows(builder.Build(entries).outputs) == std::vector<int32_t>{2, 3, 4, 5});
}

TEST_CASE("No array moves between steps: nothing is allocated") {
  BatchBuilder builder(16, 4, 8);
  Sequence small = MakeSequence(2, 0, {0});
  Sequence large = MakeSequence(100, 90, {0, 1, 2, 3, 4, 5, 6});
  std::vector<BatchEntry> first = {{&small, 1}};
  std::vector<BatchEntry> second = {{&small, 2}, {&large, 10}};
  const Batch one = builder.Build(first);
  const Batch two = builder.Build(second);
  CHECK(one.tokens.data() == two.tokens.data());
  CHECK(one.kv_place.data() == two.kv_place.data());
  CHECK(one.block_table.data() == two.block_table.data());
  Sequence with = MakeSequence(2, 0, {0}, MakeSet(1)), more = MakeSequence(2, 0, {0}, MakeSet(2));
  std::vector<BatchEntry> third = {{&with, 1}}, fourth = {{&with, 1}, {&more, 1}};
  const Batch three = builder.Build(third);
  CHECK(three.sets.data() == builder.Build(fourth).sets.data());
}

}  // namespace
}  // namespace guildhall
