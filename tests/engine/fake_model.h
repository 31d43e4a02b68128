// A language model for the engine's tests: small, exact, and unforgiving about block bookkeeping.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/language_model.h"

namespace guildhall {

// The logits that follow a prefix: a pure function of its tokens, their order and the adapter set (0: the
// base). The oracle of every engine test. `memory`: only so many last tokens count, so that texts repeat
// themselves; 0: all.
std::vector<float> FakeLogits(std::span<const int32_t> prefix, int64_t vocabulary, uint64_t set = 0,
                              int64_t memory = 0);

// Keeps tokens and positions in KV slots and computes a row's logits from what it reads back through the
// block table: a wrong block changes the answer. CHECKs what model/batch.h promises: ascending neighbouring
// rows, slots that agree with the table, keys that are written before they are read and with the reader's
// adapter set, no slot written by one sequence and read by another, one segment for each set.
class FakeModel final : public LanguageModel {
 public:
  struct Options {
    int64_t vocabulary = 61;
    int64_t max_positions = 512;
    int64_t max_rows = 512;
    int64_t max_outputs = 64;
    int64_t kv_blocks = 64;
    int64_t release_blocks = 1;
    int64_t memory = 0;                // see FakeLogits
    bool first_token_is_task = false;  // then CHECKs that in a set a task's rows are neighbours
    int32_t poison = -1;               // a row of this token gets NaN logits
    // A row of a set with this number gets them, too; 0: of the base.
    std::function<bool(uint64_t set)> poisons = {};
    std::function<void(int64_t step)> before_step = {};  // on the engine thread
    // What is no success is the step's end.
    std::function<absl::Status(int64_t step)> fail_step = {};
    // What stands for a set of the batch in FakeLogits; AdapterSet::id where there is no such function.
    std::function<uint64_t(const Batch& batch, size_t set)> set_number = {};
    std::function<void(const Batch& batch)> on_batch = {};
  };
  FakeModel() : FakeModel(Options{}) {}
  explicit FakeModel(Options options);

  int64_t vocabulary() const override { return options_.vocabulary; }
  int64_t max_positions() const override { return options_.max_positions; }
  int64_t max_rows() const override { return options_.max_rows; }
  int64_t max_outputs() const override { return options_.max_outputs; }
  int64_t kv_blocks() const override { return options_.kv_blocks; }
  int64_t kv_release_blocks() const override { return options_.release_blocks; }
  void ReleaseKvBlocks(int64_t first, int64_t count) override;  // what was there is lost
  absl::Status GrowKvBlocks(int64_t first, int64_t count) override;
  void Launch(const Batch& batch) override;
  absl::StatusOr<StepOutput> Await() override;

  // Readable while the engine runs.
  int64_t steps() const { return steps_.load(); }
  int64_t rows() const { return rows_.load(); }
  int64_t most_rows() const { return most_rows_.load(); }
  int64_t released_blocks() const { return released_blocks_.load(); }
  int64_t most_sets() const { return most_sets_.load(); }  // in one batch, beside the base

 private:
  struct Slot {
    int32_t token = -1;
    int32_t position = -1;
    uint64_t set = 0;
  };

  void Compute(const Batch& batch);
  void CheckShape(const Batch& batch) const;
  void CheckSharing(const Batch& batch) const;
  void CheckSets(const Batch& batch) const;
  void CheckSegments(const Batch& batch) const;
  void Write(const Batch& batch);
  std::span<const int32_t> ReadPrefix(const Batch& batch, int64_t row);

  const Options options_;
  uint64_t NumberOf(const Batch& batch, size_t row) const {
    return batch.set[row] < 0 ? 0 : numbers_[static_cast<size_t>(batch.set[row])];
  }

  std::vector<uint64_t> numbers_;  // (sets of the batch)
  std::vector<Slot> slots_;        // (kv_blocks * kKvBlockTokens)
  std::vector<int32_t> prefix_;
  std::vector<float> logits_;
  absl::StatusOr<StepOutput> output_ = StepOutput();  // of the last step
  int64_t blocks_;                                    // that have memory
  std::atomic<int64_t> steps_{0}, rows_{0}, most_rows_{0}, most_sets_{0}, released_blocks_{0};
};

}  // namespace guildhall
