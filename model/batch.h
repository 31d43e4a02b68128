// The plan of one step: plain arrays that the engine fills and the forward pass reads.
#pragma once

#include <cstdint>
#include <span>

#include "weights/adapter_set.h"
#include "weights/expert_tables.h"

namespace guildhall {

// A row of which something is wanted at the end.
struct OutputRow {
  enum class Kind {
    kLogits,  // over the vocabulary
    kHidden,  // what the vocabulary's product reads
  };
  int32_t row = 0;
  Kind kind = Kind::kLogits;
};

// Rows are tokens. Rows of one sequence are neighbours with ascending positions; sequences are ordered by
// adapter set, the base first, so that a set's rows form one segment. The arrays belong to the engine.
struct Batch {
  std::span<const int32_t> tokens;       // (rows)
  std::span<const int32_t> positions;    // (rows) absolute, from 0
  std::span<const int32_t> sequence;     // (rows) row of block_table
  std::span<const int64_t> kv_place;     // (rows) block id * kKvBlockTokens + offset where the row's key goes
  std::span<const int32_t> set;          // (rows) index into sets, -1: base
  std::span<const int32_t> block_table;  // (sequences, max_blocks) block ids, row-major
  int64_t max_blocks = 0;
  std::span<const OutputRow> outputs;  // ascending rows

  // The adapters that the rows are served with; none: every row is the base's.
  std::span<const AdapterSet* const> sets = {};
  const ExpertTables* tables = nullptr;  // newer than every set; only read where there are sets

  bool observe_routes = false;  // what the routers chose is an output, too

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
};

}  // namespace guildhall
