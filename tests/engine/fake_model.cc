#include "tests/engine/fake_model.h"

#include <algorithm>
#include <limits>
#include <map>
#include <new>
#include <set>
#include <utility>

#include "base/check.h"
#include "kernels/ops.h"

namespace guildhall {
namespace {

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x7fb5d329728ea185u;
  x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44du;
  return x ^ (x >> 33);
}

void FillLogits(std::span<const int32_t> prefix, uint64_t set, int64_t memory, std::span<float> logits) {
  if (memory > 0) prefix = prefix.last(std::min(prefix.size(), static_cast<size_t>(memory)));
  uint64_t state = Mix(set * 0xc2b2ae3d27d4eb4fu + 1);
  for (const int32_t token : prefix)
    state = Mix(state * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(token) + 1);
  for (size_t v = 0; v < logits.size(); ++v) {
    const uint64_t bits = Mix(state ^ ((v + 1) * 0xd1342543de82ef95u));
    logits[v] = static_cast<float>(bits >> 40) * 0x1.0p-24f * 12.0f - 6.0f;
  }
}

}  // namespace

std::vector<float> FakeLogits(std::span<const int32_t> prefix, int64_t vocabulary, uint64_t set,
                              int64_t memory) {
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  FillLogits(prefix, set, memory, logits);
  return logits;
}

FakeModel::FakeModel(Options options) : options_(std::move(options)), blocks_(options_.kv_blocks) {
  slots_.resize(static_cast<size_t>(options_.kv_blocks * kKvBlockTokens));
  logits_.resize(static_cast<size_t>(options_.max_outputs * options_.vocabulary));
  prefix_.reserve(slots_.size());
  numbers_.reserve(256);
}

void FakeModel::ReleaseKvBlocks(int64_t first, int64_t count) {
  GH_CHECK_GE(first, 0);
  GH_CHECK_EQ(first + count, blocks_);
  blocks_ = first;
  if (count == 0) return;
  const auto begin = slots_.begin() + static_cast<std::ptrdiff_t>(first * kKvBlockTokens);
  std::fill(begin, begin + static_cast<std::ptrdiff_t>(count * kKvBlockTokens), Slot());
  released_blocks_.fetch_add(count);
}

absl::Status FakeModel::GrowKvBlocks(int64_t first, int64_t count) {
  GH_CHECK_EQ(first, blocks_);
  GH_CHECK_LE(first + count, options_.kv_blocks);
  blocks_ += count;
  return absl::OkStatus();
}

absl::StatusOr<StepOutput> FakeModel::Await() {
  return output_;
}

void FakeModel::Launch(const Batch& batch) {
  if (options_.before_step) options_.before_step(steps_.load());
  const absl::Status failure = options_.fail_step ? options_.fail_step(steps_.load()) : absl::OkStatus();
  steps_.fetch_add(1);
  if (!failure.ok()) {
    output_ = failure;
    return;
  }
  try {
    Compute(batch);
  } catch (const std::bad_alloc&) {
    output_ = absl::ResourceExhaustedError("no memory for the step");
  }
}

void FakeModel::Compute(const Batch& batch) {
  rows_.fetch_add(batch.rows());
  most_rows_.store(std::max(most_rows_.load(), batch.rows()));
  most_sets_.store(std::max(most_sets_.load(), static_cast<int64_t>(batch.sets.size())));
  CheckShape(batch);
  CheckSharing(batch);
  CheckSets(batch);
  numbers_.clear();
  for (size_t i = 0; i < batch.sets.size(); ++i) {
    numbers_.push_back(options_.set_number ? options_.set_number(batch, i) : batch.sets[i]->id);
  }
  if (options_.on_batch) options_.on_batch(batch);
  Write(batch);
  if (options_.first_token_is_task) CheckSegments(batch);
  const auto vocabulary = static_cast<size_t>(options_.vocabulary);
  for (size_t i = 0; i < batch.outputs.size(); ++i) {
    const std::span<float> row = std::span(logits_).subspan(i * vocabulary, vocabulary);
    const std::span<const int32_t> prefix = ReadPrefix(batch, batch.outputs[i].row);
    const uint64_t set = NumberOf(batch, static_cast<size_t>(batch.outputs[i].row));
    FillLogits(prefix, set, options_.memory, row);
    if (prefix.back() == options_.poison || (options_.poisons && options_.poisons(set)))
      std::fill(row.begin(), row.end(), std::numeric_limits<float>::quiet_NaN());
  }
  // Rows without logits attend too.
  for (int64_t row = 0; row < batch.rows(); ++row) ReadPrefix(batch, row);
  output_ = StepOutput{.logits = std::span<const float>(logits_).first(batch.outputs.size() * vocabulary),
                       .hidden = {},
                       .routes = {}};
}

void FakeModel::CheckShape(const Batch& batch) const {
  const auto rows = static_cast<size_t>(batch.rows());
  GH_CHECK_GT(batch.rows(), 0);
  GH_CHECK_LE(batch.rows(), options_.max_rows);
  GH_CHECK_LE(static_cast<int64_t>(batch.outputs.size()), options_.max_outputs);
  GH_CHECK_EQ(batch.positions.size(), rows);
  GH_CHECK_EQ(batch.sequence.size(), rows);
  GH_CHECK_EQ(batch.kv_place.size(), rows);
  GH_CHECK_EQ(batch.set.size(), rows);
  GH_CHECK_EQ(batch.block_table.size() % static_cast<size_t>(batch.max_blocks), size_t{0});
  for (size_t i = 0; i < rows; ++i) {
    GH_CHECK_GE(batch.tokens[i], 0);
    GH_CHECK_LT(batch.tokens[i], options_.vocabulary);
    GH_CHECK_LT(batch.positions[i], options_.max_positions);
    const bool same = i > 0 && batch.sequence[i] == batch.sequence[i - 1];
    if (same) GH_CHECK_EQ(batch.positions[i], batch.positions[i - 1] + 1);
    if (!same) GH_CHECK_EQ(batch.sequence[i], i == 0 ? 0 : batch.sequence[i - 1] + 1);
    const int64_t block = batch.block_table[static_cast<size_t>(batch.sequence[i] * batch.max_blocks +
                                                                batch.positions[i] / kKvBlockTokens)];
    GH_CHECK_LT(block, blocks_);
    GH_CHECK_EQ(batch.kv_place[i], block * kKvBlockTokens + batch.positions[i] % kKvBlockTokens);
  }
  for (size_t i = 0; i < batch.outputs.size(); ++i) {
    GH_CHECK_LT(batch.outputs[i].row, batch.rows());
    if (i > 0) GH_CHECK_GT(batch.outputs[i].row, batch.outputs[i - 1].row);
  }
}

// A block that one sequence writes is in no other sequence's table, and no table holds a block twice.
void FakeModel::CheckSharing(const Batch& batch) const {
  std::map<int64_t, int32_t> writer;  // block -> sequence
  std::map<int32_t, int32_t> last;    // sequence -> its last position
  for (size_t i = 0; i < batch.tokens.size(); ++i) {
    const auto [at, fresh] = writer.emplace(batch.kv_place[i] / kKvBlockTokens, batch.sequence[i]);
    GH_CHECK_EQ(at->second, batch.sequence[i]);
    last[batch.sequence[i]] = batch.positions[i];
  }
  for (const auto& [sequence, position] : last) {
    std::set<int32_t> seen;
    for (int32_t b = 0; b <= position / kKvBlockTokens; ++b) {
      const int32_t block = batch.block_table[static_cast<size_t>(sequence * batch.max_blocks + b)];
      GH_CHECK(seen.insert(block).second);
      const auto at = writer.find(block);
      if (at != writer.end()) GH_CHECK_EQ(at->second, sequence);
    }
  }
}

// The base first, then each set once, in the order of the batch's own list.
void FakeModel::CheckSets(const Batch& batch) const {
  int32_t current = -1;
  for (const int32_t set : batch.set) {
    if (set == current) continue;
    GH_CHECK_EQ(set, current + 1);
    current = set;
  }
  GH_CHECK_EQ(current + 1, static_cast<int32_t>(batch.sets.size()));
  const std::set<const AdapterSet*> distinct(batch.sets.begin(), batch.sets.end());
  GH_CHECK_EQ(distinct.size(), batch.sets.size());
}

void FakeModel::CheckSegments(const Batch& batch) const {
  std::set<std::pair<int32_t, int32_t>> closed;
  std::pair<int32_t, int32_t> current = {-1, -1};
  for (size_t i = 0; i < batch.tokens.size(); ++i) {
    const int64_t first_block = batch.block_table[static_cast<size_t>(batch.sequence[i] * batch.max_blocks)];
    const std::pair segment(batch.set[i], slots_[static_cast<size_t>(first_block * kKvBlockTokens)].token);
    if (segment == current) continue;
    GH_CHECK(closed.insert(segment).second);
    current = segment;
  }
}

void FakeModel::Write(const Batch& batch) {
  for (size_t i = 0; i < batch.tokens.size(); ++i) {
    slots_[static_cast<size_t>(batch.kv_place[i])] = {
        .token = batch.tokens[i], .position = batch.positions[i], .set = NumberOf(batch, i)};
  }
}

std::span<const int32_t> FakeModel::ReadPrefix(const Batch& batch, int64_t row) {
  const int32_t sequence = batch.sequence[static_cast<size_t>(row)];
  prefix_.clear();
  for (int32_t p = 0; p <= batch.positions[static_cast<size_t>(row)]; ++p) {
    const int64_t block =
        batch.block_table[static_cast<size_t>(sequence * batch.max_blocks + p / kKvBlockTokens)];
    const Slot& slot = slots_[static_cast<size_t>(block * kKvBlockTokens + p % kKvBlockTokens)];
    GH_CHECK_EQ(slot.position, p);
    GH_CHECK_EQ(slot.set, NumberOf(batch, static_cast<size_t>(row)));
    prefix_.push_back(slot.token);
  }
  return prefix_;
}

}  // namespace guildhall
