// What one forward pass carries from layer to layer.
#pragma once

#include <cstdint>

#include "checkpoint/model_spec.h"
#include "kernels/backend.h"
#include "model/activations.h"
#include "model/kv_cache.h"
#include "model/rope_table.h"
#include "model/step_adapters.h"
#include "model/weights.h"

namespace guildhall {

struct Step {
  Backend& backend;
  const ModelSpec& spec;
  const StepShape& shape;
  const StepData& data;
  const Activations& act;
  const StepAdapters& adapters;
  const RopeTable& rope;
  const KvCache& cache;
  int32_t* group_begin;  // of the step's workspace
  bool observe_routes = false;
  size_t layer = 0;  // the one that is computed

  LowRankRows LowRank(Product product) const { return adapters.Rows(ProductNumber(layer, product)); }
};

// residual += Attention(normed), the rows' keys and values appended to the layer's cache first.
void AttentionLayer(Step& step, const LayerWeights& weights, const LayerSpec& layer);

// residual += FFN(normed): dense, or routed experts (and shared ones).
void FeedForwardLayer(Step& step, const LayerWeights& weights);

}  // namespace guildhall
