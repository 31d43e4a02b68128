#include "bench/forward_bench.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>

#include "base/check.h"

namespace guildhall {
namespace {

using Clock = std::chrono::steady_clock;

int64_t Sequences(const BenchCase& c) {
  return c.kind == BenchCase::Kind::kDecode ? c.rows : c.sequences;
}

// Blocks of one sequence; decode steps move on by one position each and wrap inside the last block.
int64_t BlocksOfSequence(const BenchCase& c) {
  const int64_t tokens =
      c.kind == BenchCase::Kind::kDecode ? c.context + kKvBlockTokens : c.rows / c.sequences;
  return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
}

}  // namespace

ForwardBench::ForwardBench(Decoder& decoder) : decoder_(decoder) {}

int64_t ForwardBench::BlocksFor(const BenchCase& c) {
  return Sequences(c) * BlocksOfSequence(c);
}

Batch ForwardBench::Build(const BenchCase& c, int64_t position, const BenchAdapters& adapters) {
  const bool decode = c.kind == BenchCase::Kind::kDecode;
  const int64_t blocks = BlocksOfSequence(c), sequences = Sequences(c), each = c.rows / sequences;
  const auto rows = static_cast<size_t>(each * sequences);
  for (auto* array : {&tokens_, &positions_, &sequence_, &set_}) array->resize(rows);
  kv_place_.resize(rows);
  table_.resize(static_cast<size_t>(sequences * blocks));
  std::iota(table_.begin(), table_.end(), 0);
  outputs_.clear();
  // Sequences of one set are neighbours, as in the engine's batches.
  const auto sets = static_cast<int64_t>(std::min(adapters.sets.size(), static_cast<size_t>(sequences)));
  for (size_t row = 0; row < rows; ++row) {
    const int64_t sequence = static_cast<int64_t>(row) / each;
    const int64_t at = decode ? position : static_cast<int64_t>(row) % each;
    tokens_[row] = static_cast<int32_t>(random_() % static_cast<uint64_t>(decoder_.vocabulary()));
    positions_[row] = static_cast<int32_t>(at);
    sequence_[row] = static_cast<int32_t>(sequence);
    set_[row] = sets == 0 ? -1 : static_cast<int32_t>(sequence * sets / sequences);
    kv_place_[row] = (sequence * blocks + at / kKvBlockTokens) * kKvBlockTokens + at % kKvBlockTokens;
    if (static_cast<int64_t>(row) % each == each - 1) outputs_.push_back({.row = static_cast<int32_t>(row)});
  }
  Batch batch;
  batch.tokens = tokens_;
  batch.positions = positions_;
  batch.sequence = sequence_;
  batch.kv_place = kv_place_;
  batch.set = set_;
  batch.block_table = table_;
  batch.max_blocks = blocks;
  batch.outputs = outputs_;
  batch.sets = std::span(adapters.sets).first(static_cast<size_t>(sets));
  batch.tables = adapters.tables;
  return batch;
}

void ForwardBench::Step(const BenchCase& c, int64_t position, const BenchAdapters& adapters) {
  GH_CHECK(RunStep(decoder_, Build(c, position, adapters)).ok());
}

double ForwardBench::RowsPerSecond(const BenchCase& c, double seconds, const BenchAdapters& adapters) {
  Step(c, c.context, adapters);  // warm
  const Clock::time_point start = Clock::now();
  double elapsed = 0.0;
  int64_t steps = 0;
  while (elapsed < seconds || steps < 2) {
    Step(c, c.context + steps % kKvBlockTokens, adapters);
    ++steps;
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return static_cast<double>(steps * (c.rows / Sequences(c) * Sequences(c))) / elapsed;
}

double ForwardBench::SlotsRead(const BenchCase& c, const BenchAdapters& adapters) {
  constexpr int kSteps = 8;
  size_t slots = 0;
  for (int step = 0; step < kSteps; ++step) {
    Batch batch = Build(c, c.context + step, adapters);
    batch.observe_routes = true;
    const auto output = RunStep(decoder_, batch);
    GH_CHECK(output.ok());
    for (const StepOutput::Routes& routes : output->routes) slots += DistinctSlots(batch, routes);
  }
  return static_cast<double>(slots) / kSteps;
}

size_t ForwardBench::DistinctSlots(const Batch& batch, const StepOutput::Routes& routes) {
  std::set<int32_t> seen;
  const size_t k = routes.experts.size() / batch.set.size();
  for (size_t i = 0; i < routes.experts.size(); ++i) {
    const int32_t set = batch.set[i / k], expert = routes.experts[i];
    if (expert < 0) continue;
    const auto* map =
        set < 0 ? nullptr
                : &batch.sets[static_cast<size_t>(set)]->layers[static_cast<size_t>(routes.layer)].expert_map;
    seen.insert(map == nullptr || map->empty() ? expert : (*map)[static_cast<size_t>(expert)]);
  }
  return seen.size();
}

}  // namespace guildhall
