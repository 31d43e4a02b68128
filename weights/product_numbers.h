// The numbers under which a set's table lists what it changes of a model.
#pragma once

#include <cstddef>
#include <cstdint>

#include "checkpoint/product.h"

namespace guildhall {

// Of LowRankRows::product: the head, the embedding, then the products of each layer.
inline constexpr int32_t kHeadNumber = 0;
inline constexpr int32_t kEmbeddingNumber = 1;
constexpr int32_t ProductNumber(size_t layer, Product product) {
  return 2 + static_cast<int32_t>(layer) * kProducts + static_cast<int32_t>(product);
}
constexpr size_t ProductNumbers(size_t layers) {
  return 2 + layers * static_cast<size_t>(kProducts);
}

// Of the expert maps: a layer's routed experts (experts), and its shared ones as a table of their own (1).
constexpr int32_t RoutedMap(size_t layer) {
  return static_cast<int32_t>(2 * layer);
}
constexpr int32_t SharedMap(size_t layer) {
  return static_cast<int32_t>(2 * layer + 1);
}
constexpr size_t ExpertMaps(size_t layers) {
  return 2 * layers;
}

}  // namespace guildhall
