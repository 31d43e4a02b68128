// Times forward passes of a decoder: decode steps of many sequences, prefill of one.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "model/decoder.h"

namespace guildhall {

// One kind of step. Decode: `rows` sequences with one row each behind `context` tokens; prefill: one
// sequence's first `rows` tokens.
struct BenchCase {
  enum class Kind { kDecode, kPrefill };
  Kind kind = Kind::kDecode;
  int64_t rows = 1;
  int64_t context = 64;
};

class ForwardBench {
 public:
  // `decoder` has kv_blocks for the largest case; see BlocksFor.
  explicit ForwardBench(Decoder& decoder);

  static int64_t BlocksFor(const BenchCase& bench_case);

  // Runs steps of random tokens for at least `seconds` (and two steps); returns rows per second.
  double RowsPerSecond(const BenchCase& bench_case, double seconds);

 private:
  void Step(const BenchCase& bench_case, int64_t position);

  Decoder& decoder_;
  std::mt19937 random_{1};
  std::vector<int32_t> tokens_, positions_, sequence_, task_, table_, logit_rows_;
  std::vector<int64_t> kv_slot_;
};

}  // namespace guildhall
