// An adapter in memory: packed exactly as the kernels read the base's weights. Immutable once published.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/low_rank.h"
#include "kernels/matrix.h"
#include "weights/product_layout.h"

namespace guildhall {

// One layer of an adapter. Empty members: the adapter leaves that part of the base alone.
struct LayerAdapter {
  std::vector<int32_t> experts;      // logical experts that are replaced, ascending
  std::vector<int32_t> slots;        // (experts) their slots in the layer's expert table
  std::vector<FfnWeights> replaced;  // (experts)
  FfnWeights shared;                 // empty: the base's

  std::array<LowRank, kProducts> products;
  // A change s B A of latent attention's kv_b (heads * (nope + v), kv_lora_rank) in its absorbed form, per
  // head; empty: none. k_up: a = B_k^T (rank, nope), b = A^T (kv_lora_rank, rank). v_up: a = A, b = B_v (v,
  // rank).
  std::vector<LowRank> k_up, v_up;
  std::vector<FfnLowRank> experts_low_rank;  // (logical experts) or empty
  FfnLowRank shared_low_rank;
  FfnLowRank dense_low_rank;
};

struct AdapterWeights {
  std::vector<LayerAdapter> layers;
  LowRank head;
  LowRank embedding;  // `a` unpacked, (vocabulary, rank)
  int64_t rank_columns =
      0;  // the most workspace floats that one row or entry needs for one product of this adapter
};

}  // namespace guildhall
