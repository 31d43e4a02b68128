// An adapter in memory: packed exactly as the kernels read the base's weights. Immutable once published.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/matrix.h"
#include "weights/low_rank_descriptors.h"
#include "weights/product_layout.h"

namespace guildhall {

// The changes of one feed-forward network.
struct FfnLowRankPlan {
  LowRankPlan gate_up;
  LowRankPlan down;

  bool empty() const { return gate_up.empty() && down.empty(); }
};

// One layer of an adapter. Empty members: the adapter leaves that part of the base alone.
struct LayerAdapter {
  std::vector<int32_t> experts;      // logical experts that are replaced, ascending
  std::vector<int32_t> slots;        // (experts) their slots in the layer's expert table
  std::vector<FfnWeights> replaced;  // (experts)
  FfnWeights shared;                 // with replaces_shared
  bool replaces_shared = false;
  int32_t shared_slot = -1;  // in the layer's table of shared experts

  std::array<LowRankPlan, kStackedProducts> products;
  // A change s B A of latent attention's kv_b (heads * (nope + v), kv_lora_rank) in its absorbed form, per
  // head; empty: none. k_up: a = B_k^T (rank, nope), b = A^T (kv_lora_rank, rank). v_up: a = A, b = B_v (v,
  // rank).
  std::vector<LowRankPlan> k_up, v_up;
  std::vector<FfnLowRankPlan> experts_low_rank;  // (logical experts) or empty
  FfnLowRankPlan shared_low_rank;
  FfnLowRankPlan dense_low_rank;
};

struct AdapterWeights {
  std::vector<LayerAdapter> layers;
  LowRankPlan head;
  LowRankPlan embedding;           // `a` unpacked, (vocabulary, rank)
  int64_t rank_columns = 0;        // the most workspace floats of one row or entry for one product
  LowRankDescriptors descriptors;  // of all changes above, once their bytes have places
};

// The changes of `weights` as ops read them. RESOURCE_EXHAUSTED.
absl::StatusOr<LowRankDescriptors> DescribeLowRank(const AdapterWeights& weights, DeviceMemory& memory);

}  // namespace guildhall
