// How the base weights are grouped into the products that a forward pass computes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "checkpoint/model_spec.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

// The products of a layer that low-rank changes can touch, beside the feed-forward networks and the heads of
// latent attention's kv_b.
enum class Product {
  kQkv,       // grouped-query q, k, v (clip_qkv: q, k); latent q or q_a, kv_a
  kVClipped,  // clip_qkv: v alone
  kQB,        // latent q_b
  kO,
  kSharedScore,  // the gate of the shared experts
};
inline constexpr int kProducts = 5;

// The place of a weight in its product.
struct ProductPlace {
  Product product;
  int64_t out_begin = 0;
};

// Nothing for weights that no `Product` holds.
std::optional<ProductPlace> PlaceInProduct(const ModelSpec& spec, const WeightKey& key);

// Outputs of a product of the model. CHECK: the model has it.
int64_t ProductOut(const ModelSpec& spec, Product product);

// (out, in) of the base weight; CHECK: a matrix that the spec has.
struct WeightShape {
  int64_t out = 0, in = 0;
};
WeightShape ShapeOf(const ModelSpec& spec, const WeightKey& key);

}  // namespace guildhall
