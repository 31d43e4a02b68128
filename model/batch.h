// The plan of one step: plain arrays that the engine fills and the forward pass reads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "weights/adapter_set.h"
#include "weights/expert_tables.h"

namespace guildhall {

// Rows are tokens. Rows of one sequence are neighbours with ascending positions; sequences are ordered by
// adapter set, the base first, so that a set's rows form one segment. The arrays belong to the engine and
// live until Forward returns.
struct Batch {
  std::span<const int32_t> tokens;       // (rows)
  std::span<const int32_t> positions;    // (rows) absolute, from 0
  std::span<const int32_t> sequence;     // (rows) row of block_table
  std::span<const int64_t> kv_slot;      // (rows) block id * kKvBlockTokens + offset where the row's key goes
  std::span<const int32_t> task;         // (rows) index into sets, -1: base
  std::span<const int32_t> block_table;  // (sequences, max_blocks) block ids, row-major
  int64_t max_blocks = 0;
  std::span<const int32_t> logit_rows;  // (outputs) rows whose logits are wanted, ascending

  // The adapters that the rows are served with; none: every row is the base's.
  std::span<const AdapterSet* const> sets = {};
  const ExpertTables* tables = nullptr;  // newer than every set; only read where there are sets

  // Called in each layer with routed experts, after the choice: the logical experts and their weights, (rows,
  // k). May be empty.
  std::function<void(int layer, std::span<const int32_t> experts, std::span<const float> weights)> on_route =
      {};

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
};

}  // namespace guildhall
