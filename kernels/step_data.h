// What a step brings: the host's arrays, and what they become on the device.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/low_rank.h"

namespace guildhall {

// Arrays of the host. They stay as they are until Backend::Finish().
struct StepInputs {
  std::span<const int32_t> tokens;       // (rows)
  std::span<const int32_t> positions;    // (rows) absolute
  std::span<const int32_t> sequence;     // (rows) row of block_table; rows of one are neighbours and ascend
  std::span<const int64_t> kv_place;     // (rows) block id * kKvBlockTokens + offset; < 0: takes no part
  std::span<const int32_t> set;          // (rows) index into sets, -1: base; empty: all base
  std::span<const int32_t> block_table;  // (sequences, max_blocks) block ids
  int64_t max_blocks = 0;
  std::span<const int32_t> logit_rows;  // rows that are read at the end
  std::span<const int32_t> hidden_rows = {};
  std::span<const SetTable> sets = {};  // structs of the host whose pointers are the device's
};

// The same in device memory. Rows that take no part are computed nowhere: they append no key, attend to
// nothing and are routed to no expert, and what stands in their outputs is not defined.
struct StepData {
  int64_t rows = 0, logits = 0, hiddens = 0, max_blocks = 0;
  const int32_t* tokens = nullptr;
  const int32_t* positions = nullptr;
  const int32_t* sequence = nullptr;
  const int64_t* kv_place = nullptr;
  const int32_t* block_table = nullptr;
  const int32_t* logit_rows = nullptr;
  const int32_t* hidden_rows = nullptr;
  RowSets row_sets, logit_sets;
};

}  // namespace guildhall
