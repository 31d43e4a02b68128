// The feed-forward half of a layer: dense, or routed experts beside shared ones.
#include "model/step.h"

namespace guildhall {
namespace {

void Dense(Step& step, const LayerWeights& weights) {
  const int64_t hidden = step.spec.hidden;
  step.backend.Ffn({.x = step.act.normed,
                    .w = weights.dense,
                    .y = step.act.residual,
                    .rows = step.batch.rows(),
                    .hidden = hidden,
                    .width = step.spec.dense_width,
                    .x_stride = hidden,
                    .y_stride = hidden,
                    .low_rank = step.adapters.ForDense(step.layer)});
}

// The factor of the shared experts per row; null: 1.
const float* SharedScore(Step& step, const LayerWeights& weights) {
  if (weights.shared_score.empty()) return nullptr;
  step.backend.MatMul({.x = step.act.normed,
                       .w = weights.shared_score,
                       .y = step.act.shared_weight,
                       .rows = step.batch.rows(),
                       .x_stride = step.spec.hidden,
                       .y_stride = 1,
                       .sigmoid = true,
                       .low_rank = step.adapters.ForProduct(step.layer, Product::kSharedScore)});
  return step.act.shared_weight;
}

void Shared(Step& step, const LayerWeights& weights) {
  const int64_t hidden = step.spec.hidden, rows = step.batch.rows();
  const float* row_weight = SharedScore(step, weights);
  if (!step.adapters.ReplacesShared(step.layer)) {
    step.backend.Ffn({.x = step.act.normed,
                      .w = weights.shared,
                      .weight = row_weight,
                      .y = step.act.residual,
                      .rows = rows,
                      .hidden = hidden,
                      .width = step.spec.shared_width,
                      .x_stride = hidden,
                      .y_stride = hidden,
                      .low_rank = step.adapters.ForShared(step.layer)});
    return;
  }
  const SharedGroups groups = step.adapters.GroupShared(step.layer, weights.shared);
  step.backend.ExpertFfn({.x = step.act.normed,
                          .table = groups.table,
                          .group_begin = groups.group_begin,
                          .group_entry = groups.group_entry,
                          .weight = row_weight,
                          .y = step.act.residual,
                          .rows = rows,
                          .k = 1,
                          .hidden = hidden,
                          .width = step.spec.shared_width,
                          .x_stride = hidden,
                          .y_stride = hidden,
                          .low_rank = step.adapters.ForShared(step.layer)});
}

void Routed(Step& step, const LayerWeights& weights) {
  const int64_t hidden = step.spec.hidden, rows = step.batch.rows();
  Activations& act = step.act;
  const std::span<const FfnWeights> table = step.adapters.ExpertTable(step.layer, weights);
  int32_t* const group_begin = step.adapters.none() ? act.group_begin : step.batch.tables->group_begin;
  step.backend.Route({.x = act.normed,
                      .w = weights.router,
                      .selection_bias = weights.selection_bias,
                      .gate = &step.spec.gate,
                      .expert_maps = step.adapters.ExpertMaps(step.layer),
                      .row_task = step.batch.task.data(),
                      .rows = rows,
                      .x_stride = hidden,
                      .slots = static_cast<int64_t>(table.size()),
                      .expert = act.expert,
                      .slot = act.slot,
                      .weight = act.weight,
                      .group_begin = group_begin,
                      .group_entry = act.group_entry});
  if (step.batch.on_route) {
    step.batch.on_route(static_cast<int>(step.layer),
                        {act.expert, static_cast<size_t>(rows * step.spec.gate.k)},
                        {act.weight, static_cast<size_t>(rows * step.spec.gate.k)});
  }
  step.backend.ExpertFfn({.x = act.normed,
                          .table = table,
                          .group_begin = group_begin,
                          .group_entry = act.group_entry,
                          .weight = act.weight,
                          .y = act.residual,
                          .rows = rows,
                          .k = step.spec.gate.k,
                          .hidden = hidden,
                          .width = step.spec.expert_width,
                          .x_stride = hidden,
                          .y_stride = hidden,
                          .low_rank = step.adapters.ForExperts(step.layer),
                          .expert = act.expert});
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
