// The feed-forward half of a layer: dense, or routed experts beside shared ones.
#include "model/step.h"

namespace guildhall {
namespace {

void Dense(Step& step, const LayerWeights& weights) {
  const int64_t hidden = step.spec.hidden;
  step.backend.Ffn({.x = step.act.normed,
                    .w = weights.dense,
                    .y = step.act.residual,
                    .rows = step.data.rows,
                    .hidden = hidden,
                    .width = step.spec.dense_width,
                    .x_stride = hidden,
                    .y_stride = hidden,
                    .gate_up_low_rank = step.LowRank(Product::kDenseGateUp),
                    .down_low_rank = step.LowRank(Product::kDenseDown)});
}

// The factor of the shared experts per row; null: 1.
const float* SharedScore(Step& step, const LayerWeights& weights) {
  if (weights.shared_score.empty()) return nullptr;
  step.backend.MatMul({.x = step.act.normed,
                       .w = weights.shared_score,
                       .y = step.act.shared_weight,
                       .rows = step.data.rows,
                       .x_stride = step.spec.hidden,
                       .y_stride = 1,
                       .sigmoid = true,
                       .low_rank = step.LowRank(Product::kSharedScore)});
  return step.act.shared_weight;
}

// Shared experts that some sets replace: a table of networks, one of which serves each row.
void ReplacedShared(Step& step, const float* row_weight) {
  const int64_t hidden = step.spec.hidden, rows = step.data.rows;
  const int32_t map = SharedMap(step.layer);
  const ExpertTables::Table& table = step.adapters.Table(map);
  const Activations& act = step.act;
  step.backend.GroupBySet({.sets = step.adapters.Sets(map),
                           .expert_map = map,
                           .kv_place = step.data.kv_place,
                           .rows = rows,
                           .slots = table.size(),
                           .slot = act.slot,
                           .group_begin = step.group_begin,
                           .group_entry = act.group_entry});
  step.backend.ExpertFfn({.x = act.normed,
                          .table = table.device,
                          .slot = act.slot,
                          .group_begin = step.group_begin,
                          .group_entry = act.group_entry,
                          .weight = row_weight,
                          .y = act.residual,
                          .rows = rows,
                          .k = 1,
                          .slots = table.size(),
                          .hidden = hidden,
                          .width = step.spec.shared_width,
                          .x_stride = hidden,
                          .y_stride = hidden,
                          .gate_up_low_rank = step.LowRank(Product::kSharedGateUp),
                          .down_low_rank = step.LowRank(Product::kSharedDown)});
}

void Shared(Step& step, const LayerWeights& weights) {
  const float* row_weight = SharedScore(step, weights);
  if (step.adapters.Maps(SharedMap(step.layer))) return ReplacedShared(step, row_weight);
  const int64_t hidden = step.spec.hidden;
  step.backend.Ffn({.x = step.act.normed,
                    .w = weights.shared,
                    .weight = row_weight,
                    .y = step.act.residual,
                    .rows = step.data.rows,
                    .hidden = hidden,
                    .width = step.spec.shared_width,
                    .x_stride = hidden,
                    .y_stride = hidden,
                    .gate_up_low_rank = step.LowRank(Product::kSharedGateUp),
                    .down_low_rank = step.LowRank(Product::kSharedDown)});
}

void Routed(Step& step, const LayerWeights& weights) {
  const int64_t hidden = step.spec.hidden, rows = step.data.rows;
  const int32_t map = RoutedMap(step.layer);
  const ExpertTables::Table& table = step.adapters.Table(map);
  const Activations& act = step.act;
  const RouteBuffers routes =
      step.observe_routes ? act.Observed(step.layer) : RouteBuffers{act.expert, act.weight};
  step.backend.Route({.x = act.normed,
                      .w = weights.router,
                      .selection_bias = weights.selection_bias,
                      .gate = step.spec.gate,
                      .sets = step.adapters.Sets(map),
                      .expert_map = map,
                      .kv_place = step.data.kv_place,
                      .rows = rows,
                      .x_stride = hidden,
                      .slots = table.size(),
                      .expert = routes.expert,
                      .slot = act.slot,
                      .weight = routes.weight,
                      .group_begin = step.group_begin,
                      .group_entry = act.group_entry});
  step.backend.ExpertFfn({.x = act.normed,
                          .table = table.device,
                          .slot = act.slot,
                          .group_begin = step.group_begin,
                          .group_entry = act.group_entry,
                          .weight = routes.weight,
                          .y = act.residual,
                          .rows = rows,
                          .k = step.spec.gate.k,
                          .slots = table.size(),
                          .hidden = hidden,
                          .width = step.spec.expert_width,
                          .x_stride = hidden,
                          .y_stride = hidden,
                          .gate_up_low_rank = step.LowRank(Product::kExpertGateUp),
                          .down_low_rank = step.LowRank(Product::kExpertDown),
                          .expert = routes.expert});
}

}  // namespace

void FeedForwardLayer(Step& step, const LayerWeights& weights) {
  if (weights.router.empty()) {
    Dense(step, weights);
    return;
  }
  Routed(step, weights);
  if (!weights.shared.down.empty()) Shared(step, weights);
}

}  // namespace guildhall
