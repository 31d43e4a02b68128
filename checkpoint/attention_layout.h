// The weights of attention: their sizes, and how a forward pass stacks them into products. Whoever needs to
// know where k begins or how wide q_b is asks here.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "checkpoint/model_spec.h"
#include "checkpoint/product.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

struct AttentionMatrix {
  WeightRole weight;
  int64_t out = 0, in = 0;
  std::optional<WeightRole> bias = {};  // what its bias would be called; none: no family has one
  bool biased = false;                  // this model has it
  std::optional<Product> product = {};  // none: kv_b, which is cut by head
  int64_t out_begin = 0;                // in the product's outputs
};

struct AttentionNorm {
  WeightRole weight;
  int64_t width = 0;
};

// Immutable; one for all layers of a model.
class AttentionLayout {
 public:
  explicit AttentionLayout(const ModelSpec& spec);

  // Those of one product by ascending out_begin.
  const std::vector<AttentionMatrix>& matrices() const { return matrices_; }
  const std::vector<AttentionNorm>& norms() const { return norms_; }

  // Null: this model has no such matrix of attention.
  const AttentionMatrix* Find(WeightRole weight) const;
  // CHECK: the model has it.
  const AttentionMatrix& Matrix(WeightRole weight) const;
  int64_t NormWidth(WeightRole weight) const;
  // The matrix that gives the queries of all heads: q, or q_b of compressed queries.
  const AttentionMatrix& Queries() const;

  // 0: the model has no such product of attention.
  int64_t ProductOut(Product product) const;

  // A step keeps the products of the normed input side by side in one row: kQkv, then kVClipped.
  int64_t RowWidth() const;
  int64_t RowBegin(WeightRole weight) const;  // CHECK: the result stands in that row

 private:
  void GroupedQuery(const ModelSpec& spec);
  void Latent(const ModelSpec& spec);
  // Behind what its product already holds.
  void Add(AttentionMatrix matrix);

  std::vector<AttentionMatrix> matrices_;
  std::vector<AttentionNorm> norms_;
};

}  // namespace guildhall
