// Times forward passes of a decoder: decode steps of many sequences, prefill of one.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "model/decoder.h"

namespace guildhall {

// One kind of step. Decode: `rows` sequences with one row each behind `context` tokens; prefill: the first
// tokens of `sequences` sequences, `rows` in all.
struct BenchCase {
  enum class Kind { kDecode, kPrefill };
  Kind kind = Kind::kDecode;
  int64_t rows = 1;
  int64_t context = 64;
  int64_t sequences = 1;  // prefill only
};

// What the sequences are served with: the first with sets[0], and so on, over and over. None: the base.
struct BenchAdapters {
  std::vector<const AdapterSet*> sets;
  const ExpertTables* tables = nullptr;
};

class ForwardBench {
 public:
  // `decoder` has kv_blocks for the largest case; see BlocksFor.
  explicit ForwardBench(Decoder& decoder);

  static int64_t BlocksFor(const BenchCase& bench_case);

  // Runs steps of random tokens for at least `seconds` (and two steps); returns rows per second.
  double RowsPerSecond(const BenchCase& bench_case, double seconds, const BenchAdapters& adapters = {});

  // The distinct expert slots that one step of the case reads, over all layers: the mean of some steps.
  double SlotsRead(const BenchCase& bench_case, const BenchAdapters& adapters = {});

  // One step at a position of the context.
  void Step(const BenchCase& bench_case, int64_t position, const BenchAdapters& adapters = {});

 private:
  static size_t DistinctSlots(const Batch& batch, const StepOutput::Routes& routes);
  Batch Build(const BenchCase& bench_case, int64_t position, const BenchAdapters& adapters);

  Decoder& decoder_;
  std::mt19937 random_{1};
  std::vector<int32_t> tokens_, positions_, sequence_, set_, table_;
  std::vector<OutputRow> outputs_;
  std::vector<int64_t> kv_place_;
};

}  // namespace guildhall
