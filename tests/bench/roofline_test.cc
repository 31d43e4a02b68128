// Bytes, operations and ceilings of small shapes, against values by hand.
#include "bench/roofline.h"

#include <catch2/catch.hpp>

#include "bench/shapes.h"
#include "bench/statistics.h"

namespace guildhall {
namespace {

// Two MoE layers: hidden 64, 2 heads of 32 (one key head), 4 experts of width 32, 2 per token, vocabulary
// 100.
ModelSpec TinySpec() {
  ModelSpec spec;
  spec.dtype = DType::kBF16;
  spec.hidden = 64;
  spec.vocabulary = 100;
  spec.layers.assign(2, {.moe = true});
  spec.attention.heads = 2;
  spec.attention.kv_heads = 1;
  spec.attention.head_dim = 32;
  spec.gate.experts = 4;
  spec.gate.k = 2;
  spec.expert_width = 32;
  return spec;
}
// q and o 64 x 64, k and v 64 x 32; an expert three times 64 x 32.
constexpr double kAttention = 2 * (2 * 4096 + 2 * 2048), kHead = 6400, kRouters = 2 * 256, kExpert = 6144;

}  // namespace

TEST_CASE("the cost of bf16 weights: two bytes each, routers four") {
  const ModelCost cost = CostOf(TinySpec());
  CHECK(cost.dense_bytes == 2.0 * (kAttention + kHead) + 4.0 * kRouters);
  CHECK(cost.expert_bytes == 2.0 * 2 * 4 * kExpert);
  CHECK(cost.layers.bf16 == kAttention + 2 * 2 * kExpert);
  CHECK(cost.layers.fp32 == kRouters);
  CHECK(cost.layers.int8 == 0.0);
  CHECK(cost.head.bf16 == kHead);
  CHECK(cost.Active().bf16 == kAttention + kHead + 2 * 2 * kExpert);
  // A prefill wants the logits of its last row alone.
  CHECK(cost.Active(1.0 / 4.0).bf16 == kAttention + kHead / 4.0 + 2 * 2 * kExpert);
  CHECK(cost.Active(0.0).fp32 == kRouters);
}

TEST_CASE("each kind of matrix counts by its own format") {
  // A block of 32 takes a 16-bit scale: 8.5 bits for int8, 4.5 for int4.
  const ModelCost cost =
      CostOf(TinySpec(), {.experts = WeightFormat::kInt4, .attention = WeightFormat::kInt8});
  CHECK(cost.expert_bytes == Approx(2 * 4 * kExpert * 4.5 / 8.0));
  CHECK(cost.dense_bytes == Approx(kAttention * 8.5 / 8.0 + kHead * 2.0 + kRouters * 4.0));
  CHECK(cost.Active().int8 == kAttention + 2 * 2 * kExpert);
  CHECK(cost.Active().bf16 == kHead);
}

TEST_CASE("latent attention's kv_b keeps the checkpoint's numbers") {
  const ModelSpec spec = ShapeSpec("deepseek-v2-lite", DType::kBF16, 2).value();
  WeightFormats formats;
  for (const WeightKind& kind : kWeightKinds) formats.*kind.format = WeightFormat::kInt8;
  const ModelCost cost = CostOf(spec, formats);
  CHECK(cost.Active().bf16 == 2.0 * 512 * 16 * (128 + 128));
  CHECK(cost.Active().fp32 == 2048.0 * 64);
  CHECK(cost.Active().all() == Approx(CostOf(spec).Active().all()));
}

TEST_CASE("a step reads the dense weights and the share of the experts that it touches") {
  const ModelSpec spec = TinySpec();
  const ModelCost cost = CostOf(spec);
  CHECK(StepBytes(spec, cost, 0.0) == cost.dense_bytes);
  CHECK(StepBytes(spec, cost, 8.0) == cost.dense_bytes + cost.expert_bytes);
  CHECK(StepBytes(spec, cost, 2.0) == cost.dense_bytes + cost.expert_bytes / 4.0);
}

TEST_CASE("the ceiling: the lower of bandwidth and arithmetic, each instruction at its own peak") {
  const ActiveParameters active{.fp32 = 1e6, .bf16 = 2e6, .int8 = 4e6};
  const MachineLimits limits{.read = 1e9, .fp32 = 2e9, .bf16 = 4e9, .int8 = 8e9};
  // 1 ms for each instruction: 333 rows per second.
  const Ceiling ceiling = CeilingOf(active, 8, 1e7, limits);
  CHECK(ceiling.arithmetic_rows == Approx(1000.0 / 3.0));
  CHECK(ceiling.bandwidth_rows == Approx(800.0));
  CHECK(ceiling.rows() == ceiling.arithmetic_rows);
  // Without dot products everything runs at the fp32 rate: 7 ms.
  const Ceiling plain = CeilingOf(active, 1, 1e7, {.read = 1e9, .fp32 = 2e9, .bf16 = 0.0, .int8 = 0.0});
  CHECK(plain.arithmetic_rows == Approx(1000.0 / 7.0));
  CHECK(plain.rows() == plain.bandwidth_rows);
}

TEST_CASE("medians and spreads") {
  CHECK(Median({}) == 0.0);
  CHECK(Median({3.0, 1.0, 2.0}) == 2.0);
  const Spread spread = SpreadOf({5.0, 1.0, 9.0});
  CHECK(spread.median == 5.0);
  CHECK(spread.low == 1.0);
  CHECK(spread.high == 9.0);
}

}  // namespace guildhall
