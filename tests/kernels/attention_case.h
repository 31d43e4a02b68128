// Sequences with random keys and values in a paged cache, and attention over them in double precision.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "tests/kernels/kernel_test.h"

namespace guildhall {

struct AttentionCase {
  KvShape shape;
  int64_t group = 1;  // query heads for each key head
  int window = 0;
  std::vector<int64_t> lengths;  // tokens of each sequence
  uint64_t seed = 1;

  int64_t heads() const { return shape.kv_heads * group; }
  std::string Text() const;
};

// A row of a batch: (sequence, position).
using RowId = std::pair<int64_t, int64_t>;

// The content of a case; the same for the same case, whatever the cache.
struct AttentionData {
  explicit AttentionData(const AttentionCase& attention_case);

  AttentionCase c;
  std::vector<std::vector<float>> keys;  // per sequence (tokens, kv_heads, key_dim)
  std::vector<std::vector<float>>
      values;  // per sequence (tokens, kv_heads, value_dim); empty for latent attention
  std::vector<std::vector<float>> q;  // per sequence (tokens, heads, key_dim)
  float scale;
  // Keys and values with the numbers that the cache's format keeps of them.
  std::vector<std::vector<float>> stored_keys, stored_values;

  // Makes the stored numbers anew, after a test has changed keys or values.
  void Remember();
  std::vector<double> Reference(RowId row) const;  // (heads, value_dim)
};

// A cache in which every block id was drawn by lot and everything that nobody wrote is NaN.
class PagedCache {
 public:
  PagedCache(const AttentionData& data, Backend& backend, uint64_t block_seed);

  // Appends and attends `rows` (neighbours of a sequence together, ascending) in one call each, or in calls
  // of 512: (rows, heads, value_dim).
  std::vector<float> Step(const std::vector<RowId>& rows);
  // Without appending: everything that the rows see was appended before.
  std::vector<float> Attend(const std::vector<RowId>& rows);
  void Append(const std::vector<RowId>& rows);

 private:
  const AttentionData& data_;
  Backend& backend_;
  int64_t max_blocks_;
  int64_t blocks_;
  DeviceArray<std::byte> cache_;
  std::vector<int32_t> table_;  // (sequences, max_blocks_)
};

// All rows of sequence `s`.
std::vector<RowId> WholeSequence(const AttentionData& data, int64_t s);

}  // namespace guildhall
