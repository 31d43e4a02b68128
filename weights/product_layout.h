// The sizes of base weights, and their places in the products that a forward pass computes.
#pragma once

#include <cstdint>
#include <optional>

#include "checkpoint/model_spec.h"
#include "checkpoint/product.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

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
