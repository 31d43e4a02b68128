#include "engine/batch_builder.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/ops.h"

namespace guildhall {

BatchBuilder::BatchBuilder(int64_t max_rows, int64_t max_sequences, int64_t max_blocks) {
  for (std::vector<int32_t>* array : {&tokens_, &positions_, &sequence_, &set_}) {
    array->reserve(static_cast<size_t>(max_rows));
  }
  outputs_.reserve(static_cast<size_t>(max_rows));
  kv_place_.reserve(static_cast<size_t>(max_rows));
  block_table_.reserve(static_cast<size_t>(max_sequences * max_blocks));
  sets_.reserve(static_cast<size_t>(max_sequences));
}

int32_t BatchBuilder::IndexOf(const AdapterSet* set) {
  if (set == nullptr) return -1;
  // Entries come by task: most often it is the one before.
  const auto at = std::find(sets_.rbegin(), sets_.rend(), set);
  if (at != sets_.rend()) return static_cast<int32_t>(sets_.rend() - at) - 1;
  GH_CHECK_LT(sets_.size(), sets_.capacity());
  sets_.push_back(set);
  return static_cast<int32_t>(sets_.size()) - 1;
}

void BatchBuilder::OrderBySet(std::span<BatchEntry> entries) {
  sets_.clear();
  int32_t place = 0;
  for (BatchEntry& entry : entries) {
    entry.set = IndexOf(entry.sequence->adapters());
    entry.place = place++;
  }
  if (sets_.empty()) return;
  std::sort(entries.begin(), entries.end(), [](const BatchEntry& a, const BatchEntry& b) {
    return a.set != b.set ? a.set < b.set : a.place < b.place;
  });
}

Batch BatchBuilder::Build(std::span<BatchEntry> entries) {
  OrderBySet(entries);
  tokens_.clear();
  positions_.clear();
  sequence_.clear();
  set_.clear();
  outputs_.clear();
  kv_place_.clear();
  size_t stride = 1;  // no longer than this step needs
  for (const BatchEntry& entry : entries) stride = std::max(stride, entry.sequence->blocks.size());
  GH_CHECK_LE(stride * entries.size(), block_table_.capacity());
  block_table_.assign(stride * entries.size(), 0);

  for (size_t i = 0; i < entries.size(); ++i) {
    const Sequence& sequence = *entries[i].sequence;
    const int32_t first_output = sequence.FirstOutput();
    const std::span<const int32_t> drafts = sequence.drafter.drafts();
    std::copy(sequence.blocks.begin(), sequence.blocks.end(),
              block_table_.begin() + static_cast<std::ptrdiff_t>(i * stride));
    for (int32_t p = sequence.computed; p < sequence.computed + entries[i].rows; ++p) {
      const int64_t block = sequence.blocks[static_cast<size_t>(p / kKvBlockTokens)];
      if (p >= first_output) outputs_.push_back({.row = static_cast<int32_t>(tokens_.size())});
      tokens_.push_back(p < sequence.length() ? sequence.tokens[static_cast<size_t>(p)]
                                              : drafts[static_cast<size_t>(p - sequence.length())]);
      positions_.push_back(p);
      sequence_.push_back(static_cast<int32_t>(i));
      set_.push_back(entries[i].set);
      kv_place_.push_back(block * kKvBlockTokens + p % kKvBlockTokens);
    }
  }
  return {.tokens = tokens_,
          .positions = positions_,
          .sequence = sequence_,
          .kv_place = kv_place_,
          .set = set_,
          .block_table = block_table_,
          .max_blocks = static_cast<int64_t>(stride),
          .outputs = outputs_,
          .sets = sets_};
}

}  // namespace guildhall
