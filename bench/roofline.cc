#include "bench/roofline.h"

#include <algorithm>

#include "checkpoint/attention_layout.h"

namespace guildhall {
namespace {

struct AttentionParameters {
  double projections = 0.0;  // q, k, v, o and latent attention's q_a, q_b, kv_a
  double kv_b = 0.0;         // latent attention's; keeps the checkpoint's numbers
};

AttentionParameters AttentionOf(const ModelSpec& spec) {
  AttentionParameters parameters;
  const AttentionLayout layout(spec);
  for (const AttentionMatrix& matrix : layout.matrices()) {
    const double size = static_cast<double>(matrix.out) * static_cast<double>(matrix.in);
    (matrix.product ? parameters.projections : parameters.kv_b) += size;
  }
  return parameters;
}

// Adds matrices of one format to a cost.
class Tally {
 public:
  Tally(const ModelSpec& spec, ModelCost& cost) : own_(FormatOf(spec.dtype)), cost_(cost) {}

  // Read by every step; multiplied with every row.
  void Dense(double parameters, std::optional<WeightFormat> format) {
    cost_.dense_bytes += Bytes(parameters, format);
    Active(parameters, format, cost_.layers);
  }
  double Bytes(double parameters, std::optional<WeightFormat> format) const {
    return parameters * BitsPerWeight(format.value_or(own_)) / 8.0;
  }
  void Active(double parameters, std::optional<WeightFormat> format, ActiveParameters& active) const {
    const WeightFormat f = format.value_or(own_);
    (IsQuantized(f) ? active.int8 : (f == WeightFormat::kBF16 ? active.bf16 : active.fp32)) += parameters;
  }

 private:
  const WeightFormat own_;
  ModelCost& cost_;
};

}  // namespace

ActiveParameters operator+(const ActiveParameters& a, const ActiveParameters& b) {
  return {a.fp32 + b.fp32, a.bf16 + b.bf16, a.int8 + b.int8};
}
ActiveParameters operator*(double factor, const ActiveParameters& a) {
  return {factor * a.fp32, factor * a.bf16, factor * a.int8};
}

ModelCost CostOf(const ModelSpec& spec, const WeightFormats& formats) {
  const double hidden = static_cast<double>(spec.hidden);
  const double expert = 3.0 * hidden * static_cast<double>(spec.expert_width);
  const AttentionParameters attention = AttentionOf(spec);
  ModelCost cost;
  Tally tally(spec, cost);
  const double head = hidden * static_cast<double>(spec.vocabulary);
  cost.dense_bytes += tally.Bytes(head, formats.head);
  tally.Active(head, formats.head, cost.head);
  for (const LayerSpec& layer : spec.layers) {
    tally.Dense(attention.projections, formats.attention);
    tally.Dense(attention.kv_b, std::nullopt);
    if (!layer.moe) {
      tally.Dense(3.0 * hidden * static_cast<double>(spec.dense_width), formats.dense);
      continue;
    }
    tally.Dense(3.0 * hidden * static_cast<double>(spec.shared_width), formats.shared_experts);
    tally.Dense(hidden * spec.gate.experts, WeightFormat::kF32);  // the router
    cost.expert_bytes += tally.Bytes(expert * spec.gate.experts, formats.experts);
    tally.Active(expert * spec.gate.k, formats.experts, cost.layers);
  }
  return cost;
}

int64_t MoeLayers(const ModelSpec& spec) {
  return std::count_if(spec.layers.begin(), spec.layers.end(), [](const LayerSpec& l) { return l.moe; });
}

double StepBytes(const ModelSpec& spec, const ModelCost& cost, double slots) {
  const int64_t layers = MoeLayers(spec);
  if (layers == 0) return cost.dense_bytes;
  return cost.dense_bytes + cost.expert_bytes * slots / (static_cast<double>(layers) * spec.gate.experts);
}

Ceiling CeilingOf(const ActiveParameters& active, int64_t rows, double bytes, const MachineLimits& limits) {
  const double bf16 = limits.bf16 > 0.0 ? limits.bf16 : limits.fp32;
  const double int8 = limits.int8 > 0.0 ? limits.int8 : limits.fp32;
  const double seconds = 2.0 * (active.fp32 / limits.fp32 + active.bf16 / bf16 + active.int8 / int8);
  return {static_cast<double>(rows) * limits.read / bytes, 1.0 / seconds};
}

}  // namespace guildhall
