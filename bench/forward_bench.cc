#include "bench/forward_bench.h"

#include <chrono>
#include <numeric>

namespace guildhall {
namespace {

using Clock = std::chrono::steady_clock;

int64_t Sequences(const BenchCase& c) {
  return c.kind == BenchCase::Kind::kDecode ? c.rows : 1;
}

// Blocks of one sequence; decode steps move on by one position each and wrap inside the last block.
int64_t BlocksOfSequence(const BenchCase& c) {
  const int64_t tokens = c.kind == BenchCase::Kind::kDecode ? c.context + kKvBlockTokens : c.rows;
  return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
}

}  // namespace

ForwardBench::ForwardBench(Decoder& decoder) : decoder_(decoder) {}

int64_t ForwardBench::BlocksFor(const BenchCase& c) {
  return Sequences(c) * BlocksOfSequence(c);
}

void ForwardBench::Step(const BenchCase& c, int64_t position) {
  const bool decode = c.kind == BenchCase::Kind::kDecode;
  const int64_t blocks = BlocksOfSequence(c);
  const size_t rows = static_cast<size_t>(c.rows);
  tokens_.resize(rows), positions_.resize(rows), sequence_.resize(rows), kv_slot_.resize(rows);
  task_.assign(rows, -1);
  table_.resize(static_cast<size_t>(Sequences(c) * blocks));
  std::iota(table_.begin(), table_.end(), 0);
  for (size_t row = 0; row < rows; ++row) {
    const int64_t sequence = decode ? static_cast<int64_t>(row) : 0;
    const int64_t at = decode ? position : static_cast<int64_t>(row);
    tokens_[row] = static_cast<int32_t>(random_() % static_cast<uint64_t>(decoder_.vocabulary()));
    positions_[row] = static_cast<int32_t>(at);
    sequence_[row] = static_cast<int32_t>(sequence);
    kv_slot_[row] = (sequence * blocks + at / kKvBlockTokens) * kKvBlockTokens + at % kKvBlockTokens;
  }
  logit_rows_.resize(decode ? rows : 1);
  std::iota(logit_rows_.begin(), logit_rows_.end(), decode ? 0 : static_cast<int32_t>(rows) - 1);
  decoder_.Forward({tokens_, positions_, sequence_, kv_slot_, task_, table_, blocks, logit_rows_});
}

double ForwardBench::RowsPerSecond(const BenchCase& c, double seconds) {
  Step(c, c.context);  // warm
  const Clock::time_point start = Clock::now();
  double elapsed = 0.0;
  int64_t steps = 0;
  while (elapsed < seconds || steps < 2) {
    Step(c, c.context + steps % kKvBlockTokens);
    ++steps;
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return static_cast<double>(steps * c.rows) / elapsed;
}

}  // namespace guildhall
