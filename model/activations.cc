#include "model/activations.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"
#include "checkpoint/attention_layout.h"

namespace guildhall {
namespace {

constexpr size_t kAlignment = 64;

// Hands out aligned pieces; without memory it only adds up.
class Pieces {
 public:
  explicit Pieces(std::byte* memory) : memory_(memory) {}

  template <typename T>
  void Take(T*& piece, int64_t elements) {
    if (memory_) piece = reinterpret_cast<T*>(memory_ + bytes_);
    bytes_ += (static_cast<size_t>(elements) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
  }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  size_t bytes_ = 0;
};

size_t Assign(const ModelSpec& spec, const StepShape& shape, std::byte* memory, Activations& a) {
  Pieces pieces(memory);
  const int64_t rows = shape.max_rows;
  pieces.Take(a.residual, rows * spec.hidden);
  pieces.Take(a.normed, rows * spec.hidden);
  pieces.Take(a.qkv, rows * shape.qkv_width);
  const AttentionSpec& attention = spec.attention;
  if (attention.kind == AttentionSpec::Kind::kLatent) {
    pieces.Take(a.query, rows * shape.query_width);
    pieces.Take(a.absorbed, rows * attention.heads * shape.kv.key_dim);
    pieces.Take(a.latent_key, rows * shape.kv.key_dim);
    pieces.Take(a.attended, rows * shape.attention_width);
  }
  pieces.Take(a.context, rows * attention.heads * shape.kv.value_dim);
  pieces.Take(a.cos, rows * attention.rope.rotary_dim / 2);
  pieces.Take(a.sin, rows * attention.rope.rotary_dim / 2);
  if (spec.moe()) {
    const int64_t k = spec.gate.k;
    pieces.Take(a.shared_weight, rows);
    pieces.Take(a.expert, rows * k);
    pieces.Take(a.slot, rows * k);
    pieces.Take(a.weight, rows * k);
    pieces.Take(a.group_begin, spec.gate.experts + 1);
    pieces.Take(a.group_entry, rows * k);
  }
  pieces.Take(a.outputs, shape.max_outputs * spec.hidden);
  pieces.Take(a.logits, shape.max_outputs * spec.vocabulary);
  return pieces.bytes();
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
  Activations unused;
  return Assign(spec, shape, nullptr, unused);
}

absl::StatusOr<Activations> Activations::Allocate(const ModelSpec& spec, const StepShape& shape) {
  Activations activations;
  const size_t bytes = Bytes(spec, shape);
  GH_ASSIGN_OR_RETURN(activations.memory, Buffer::Allocate(bytes, "activations of a step"));
  GH_CHECK_EQ(Assign(spec, shape, activations.memory.data(), activations), bytes);
  return activations;
}

}  // namespace guildhall
