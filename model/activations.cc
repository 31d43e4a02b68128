#include "model/activations.h"

#include <algorithm>
#include <utility>

#include "base/arena.h"
#include "base/status.h"
#include "checkpoint/attention_layout.h"

namespace guildhall {
namespace {

Activations Divide(const ModelSpec& spec, const StepShape& shape, Arena& arena) {
  Activations a;
  const int64_t rows = shape.max_rows;
  a.residual = arena.Take<float>(rows * spec.hidden);
  a.normed = arena.Take<float>(rows * spec.hidden);
  a.qkv = arena.Take<float>(rows * shape.qkv_width);
  const AttentionSpec& attention = spec.attention;
  if (attention.kind == AttentionSpec::Kind::kLatent) {
    a.query = arena.Take<float>(rows * shape.query_width);
    a.absorbed = arena.Take<float>(rows * attention.heads * shape.kv.key_dim);
    a.latent_key = arena.Take<float>(rows * shape.kv.key_dim);
    a.attended = arena.Take<float>(rows * shape.attention_width);
  }
  a.context = arena.Take<float>(rows * attention.heads * shape.kv.value_dim);
  if (spec.moe()) {
    const int64_t k = spec.gate.k;
    a.shared_weight = arena.Take<float>(rows);
    a.expert = arena.Take<int32_t>(rows * k);
    a.slot = arena.Take<int32_t>(rows * k);
    a.weight = arena.Take<float>(rows * k);
    a.group_entry = arena.Take<int32_t>(rows * k);
  }
  a.outputs = arena.Take<float>(shape.max_outputs * spec.hidden);
  a.hidden = arena.Take<float>(shape.max_outputs * spec.hidden);
  a.logits = arena.Take<float>(shape.max_outputs * spec.vocabulary);
  return a;
}

}  // namespace

StepShape StepShape::Of(const ModelSpec& spec, int64_t max_rows, int64_t max_outputs, KvFormat kv_format) {
  const AttentionSpec& a = spec.attention;
  const AttentionLayout layout(spec);
  StepShape shape;
  shape.max_rows = max_rows;
  shape.max_outputs = max_outputs;
  shape.kv.format = kv_format;
  shape.qkv_width = layout.RowWidth();
  shape.attention_width = layout.Matrix(WeightRole::kO).in;
  if (a.kind == AttentionSpec::Kind::kLatent) {
    shape.query_width = layout.Queries().out;
    shape.key_begin = layout.RowBegin(WeightRole::kKvA);
    shape.kv.kv_heads = 1;
    shape.kv.key_dim = static_cast<int>(layout.Matrix(WeightRole::kKvA).out);
    shape.kv.value_dim = a.kv_lora_rank;
    shape.kv.value_in_key = true;
  } else {
    shape.key_begin = layout.RowBegin(WeightRole::kK);
    shape.value_begin = layout.RowBegin(WeightRole::kV);
    shape.kv.kv_heads = a.kv_heads;
    shape.kv.key_dim = shape.kv.value_dim = a.head_dim;
  }
  return shape;
}

StepLimits StepShape::Limits(const ModelSpec& spec) const {
  const AttentionSpec& a = spec.attention;
  StepLimits limits;
  limits.max_rows = std::max(max_rows, max_outputs);
  limits.hidden = spec.hidden;
  limits.max_ffn_width = std::max({spec.dense_width, spec.expert_width, spec.shared_width});
  limits.max_width = std::max({spec.hidden, qkv_width, query_width, attention_width, limits.max_ffn_width,
                               int64_t{a.q_lora_rank}, int64_t{a.heads} * kv.key_dim});
  limits.max_entries = limits.max_rows * std::max(1, spec.gate.k);
  limits.max_heads = a.heads;
  limits.max_experts = spec.gate.experts;
  return limits;
}

size_t Activations::Bytes(const ModelSpec& spec, const StepShape& shape) {
  Arena sizes;
  Divide(spec, shape, sizes);
  return sizes.bytes();
}

absl::StatusOr<Activations> Activations::Allocate(const ModelSpec& spec, const StepShape& shape,
                                                  DeviceMemory& memory) {
  GH_ASSIGN_OR_RETURN(DeviceBuffer buffer, memory.Allocate(Bytes(spec, shape), "activations of a step"));
  Arena arena(buffer.data());
  Activations activations = Divide(spec, shape, arena);
  activations.memory = std::move(buffer);
  return activations;
}

absl::Status Activations::ObserveRoutes(const ModelSpec& spec, const StepShape& shape, DeviceMemory& device) {
  if (!routes.empty()) return absl::OkStatus();
  const auto divide = [&](Arena& arena) {
    std::vector<RouteBuffers> buffers(spec.layers.size());
    for (RouteBuffers& layer : buffers) {
      layer.expert = arena.Take<int32_t>(shape.max_rows * spec.gate.k);
      layer.weight = arena.Take<float>(shape.max_rows * spec.gate.k);
    }
    return buffers;
  };
  Arena sizes;
  divide(sizes);
  GH_ASSIGN_OR_RETURN(route_memory, device.Allocate(sizes.bytes(), "routes of a step"));
  Arena arena(route_memory.data());
  routes = divide(arena);
  return absl::OkStatus();
}

}  // namespace guildhall
