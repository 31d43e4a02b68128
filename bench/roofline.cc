#include "bench/roofline.h"

#include <algorithm>

namespace guildhall {
namespace {

double AttentionParameters(const ModelSpec& spec) {
  const AttentionSpec& a = spec.attention;
  const double hidden = static_cast<double>(spec.hidden);
  if (a.kind == AttentionSpec::Kind::kGroupedQuery) {
    return hidden * a.head_dim * (2.0 * a.heads + 2.0 * a.kv_heads);
  }
  const double q_out = static_cast<double>(a.heads) * (a.qk_nope_dim + a.qk_rope_dim);
  const double q = a.q_lora_rank > 0 ? a.q_lora_rank * (hidden + q_out) : hidden * q_out;
  const double kv = hidden * (a.kv_lora_rank + a.qk_rope_dim) +
                    static_cast<double>(a.kv_lora_rank) * a.heads * (a.qk_nope_dim + a.v_head_dim);
  return q + kv + static_cast<double>(a.heads) * a.v_head_dim * hidden;
}

}  // namespace

ModelCost CostOf(const ModelSpec& spec) {
  const double hidden = static_cast<double>(spec.hidden);
  const double element = static_cast<double>(DTypeSize(spec.dtype));
  const double expert = 3.0 * hidden * static_cast<double>(spec.expert_width);
  double dense = hidden * static_cast<double>(spec.vocabulary);  // the head
  double routers = 0.0;
  ModelCost cost;
  for (const LayerSpec& layer : spec.layers) {
    dense += AttentionParameters(spec);
    if (!layer.moe) {
      dense += 3.0 * hidden * static_cast<double>(spec.dense_width);
      continue;
    }
    dense += 3.0 * hidden * static_cast<double>(spec.shared_width);
    routers += hidden * spec.gate.experts;
    cost.expert_bytes += expert * spec.gate.experts * element;
    cost.active_parameters += expert * spec.gate.k;
  }
  cost.dense_bytes = dense * element + routers * 4.0;  // routers are float
  cost.active_parameters += dense + routers;
  return cost;
}

double StepBytes(const ModelSpec& spec, const ModelCost& cost, double slots) {
  const auto layers =
      std::count_if(spec.layers.begin(), spec.layers.end(), [](const LayerSpec& l) { return l.moe; });
  if (layers == 0) return cost.dense_bytes;
  return cost.dense_bytes + cost.expert_bytes * slots / (static_cast<double>(layers) * spec.gate.experts);
}

Ceiling CeilingOf(const ModelCost& cost, int64_t rows, double bytes, double bandwidth, double peak) {
  return {static_cast<double>(rows) * bandwidth / bytes, peak / (2.0 * cost.active_parameters)};
}

}  // namespace guildhall
