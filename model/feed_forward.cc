// The feed-forward half of a layer: dense, or routed experts beside shared ones.
#include "model/step.h"

namespace guildhall {
namespace {

void Dense(Step& step, const FfnWeights& weights, int64_t width, const float* row_weight) {
  const int64_t hidden = step.spec.hidden;
  step.backend.Ffn({.x = step.act.normed,
                    .w = weights,
                    .weight = row_weight,
                    .y = step.act.residual,
                    .rows = step.batch.rows(),
                    .hidden = hidden,
                    .width = width,
                    .x_stride = hidden,
                    .y_stride = hidden});
}

void Shared(Step& step, const LayerWeights& weights) {
  const float* row_weight = nullptr;
  if (!weights.shared_score.empty()) {
    step.backend.MatMul({.x = step.act.normed,
                         .w = weights.shared_score,
                         .y = step.act.shared_weight,
                         .rows = step.batch.rows(),
                         .x_stride = step.spec.hidden,
                         .y_stride = 1,
                         .sigmoid = true});
    row_weight = step.act.shared_weight;
  }
  Dense(step, weights.shared, step.spec.shared_width, row_weight);
}

void Routed(Step& step, const LayerWeights& weights) {
  const int64_t hidden = step.spec.hidden, rows = step.batch.rows();
  Activations& act = step.act;
  step.backend.Route({.x = act.normed,
                      .w = weights.router,
                      .selection_bias = weights.selection_bias,
                      .gate = &step.spec.gate,
                      .rows = rows,
                      .x_stride = hidden,
                      .slots = static_cast<int64_t>(weights.experts.size()),
                      .expert = act.expert,
                      .slot = act.slot,
                      .weight = act.weight,
                      .group_begin = act.group_begin,
                      .group_entry = act.group_entry});
  step.backend.ExpertFfn({.x = act.normed,
                          .table = weights.experts,
                          .group_begin = act.group_begin,
                          .group_entry = act.group_entry,
                          .weight = act.weight,
                          .y = act.residual,
                          .rows = rows,
                          .k = step.spec.gate.k,
                          .hidden = hidden,
                          .width = step.spec.expert_width,
                          .x_stride = hidden,
                          .y_stride = hidden});
}

}  // namespace

void FeedForwardLayer(Step& step, const LayerWeights& weights) {
  if (weights.router.empty()) {
    Dense(step, weights.dense, step.spec.dense_width, nullptr);
    return;
  }
  Routed(step, weights);
  if (!weights.shared.down.empty()) Shared(step, weights);
}

}  // namespace guildhall
