// From the plan of a step to the arrays of model/batch.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "model/batch.h"

namespace guildhall {

// The next `rows` tokens of a sequence, whose blocks are there.
struct BatchEntry {
  Sequence* sequence = nullptr;
  int32_t rows = 0;
};

// Owns the arrays; all memory is taken in the constructor. Engine thread only.
class BatchBuilder {
 public:
  // `max_blocks`: of one sequence.
  BatchBuilder(int64_t max_rows, int64_t max_sequences, int64_t max_blocks);

  // `entries` ordered by task. The batch is valid until the next call.
  Batch Build(std::span<const BatchEntry> entries);

 private:
  std::vector<int32_t> tokens_, positions_, sequence_, task_, logit_rows_;  // (max_rows)
  std::vector<int64_t> kv_slot_;                                            // (max_rows)
  std::vector<int32_t> block_table_;                                        // (max_sequences, max_blocks)
};

}  // namespace guildhall
