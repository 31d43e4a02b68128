// In which formats the base's matrices are kept.
#pragma once

#include <optional>

#include "kernels/weight_format.h"

namespace guildhall {

// By kind of matrix; unset: every number as the checkpoint has it. Norms, biases, routers, the embedding's
// rows and the absorbed projections of latent attention (kv_b) are never quantized.
struct WeightFormats {
  std::optional<WeightFormat> experts;  // routed
  std::optional<WeightFormat> shared_experts;
  std::optional<WeightFormat> dense;      // feed-forward networks of layers without experts
  std::optional<WeightFormat> attention;  // q, k, v, o and latent attention's q_a, q_b, kv_a
  std::optional<WeightFormat> head;       // the vocabulary's product
};

}  // namespace guildhall
