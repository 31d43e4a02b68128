// From the plan of a step to the arrays of model/batch.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "model/batch.h"

namespace guildhall {

// The next `rows` tokens of a sequence, whose blocks are there: known ones, then its drafts.
struct BatchEntry {
  Sequence* sequence = nullptr;
  int32_t rows = 0;
  int32_t set = -1;   // index into the batch's sets; the builder's
  int32_t place = 0;  // before sorting; the builder's
};

// Owns the arrays; all memory is taken in the constructor. Engine thread only.
class BatchBuilder {
 public:
  // `max_blocks`: of one sequence.
  BatchBuilder(int64_t max_rows, int64_t max_sequences, int64_t max_blocks);

  // Orders `entries` by adapter set, the base first and then as each set appears first, so that a set's rows
  // form one segment; the batch has its rows in this order. It is valid until the next call, and has no
  // tables.
  Batch Build(std::span<BatchEntry> entries);

 private:
  void OrderBySet(std::span<BatchEntry> entries);
  int32_t IndexOf(const AdapterSet* set);

  std::vector<int32_t> tokens_, positions_, sequence_, set_;  // (max_rows)
  std::vector<int64_t> kv_place_;                             // (max_rows)
  std::vector<OutputRow> outputs_;                            // (max_rows)
  std::vector<int32_t> block_table_;                          // (max_sequences, max_blocks)
  std::vector<const AdapterSet*> sets_;                       // (max_sequences) or fewer
};

}  // namespace guildhall
