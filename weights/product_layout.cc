#include "weights/product_layout.h"

#include "base/check.h"
#include "checkpoint/attention_layout.h"

namespace guildhall {

std::optional<ProductPlace> PlaceInProduct(const ModelSpec& spec, const WeightKey& key) {
  if (key.role == WeightRole::kSharedScore) return ProductPlace{Product::kSharedScore, 0};
  const AttentionLayout layout(spec);
  const AttentionMatrix* matrix = layout.Find(key.role);
  if (matrix == nullptr || !matrix->product) return std::nullopt;
  return ProductPlace{*matrix->product, matrix->out_begin};
}

int64_t ProductOut(const ModelSpec& spec, Product product) {
  if (product == Product::kSharedScore) {
    GH_CHECK(spec.shared_gate);
    return 1;
  }
  const int64_t out = AttentionLayout(spec).ProductOut(product);
  GH_CHECK_GT(out, 0);
  return out;
}

WeightShape ShapeOf(const ModelSpec& spec, const WeightKey& key) {
  switch (key.role) {
    case WeightRole::kEmbedding:
    case WeightRole::kHead:
      return {spec.vocabulary, spec.hidden};
    case WeightRole::kGate:
    case WeightRole::kUp:
      return {spec.dense_width, spec.hidden};
    case WeightRole::kDown:
      return {spec.hidden, spec.dense_width};
    case WeightRole::kRouter:
      return {spec.gate.experts, spec.hidden};
    case WeightRole::kExpertGate:
    case WeightRole::kExpertUp:
      return {spec.expert_width, spec.hidden};
    case WeightRole::kExpertDown:
      return {spec.hidden, spec.expert_width};
    case WeightRole::kSharedGate:
    case WeightRole::kSharedUp:
      return {spec.shared_width, spec.hidden};
    case WeightRole::kSharedDown:
      return {spec.hidden, spec.shared_width};
    case WeightRole::kSharedScore:
      return {1, spec.hidden};
    default: {
      const AttentionLayout layout(spec);
      const AttentionMatrix& matrix = layout.Matrix(key.role);
      return {matrix.out, matrix.in};
    }
  }
}

}  // namespace guildhall
