// What one forward pass carries from layer to layer.
#pragma once

#include <cstdint>

#include "checkpoint/model_spec.h"
#include "kernels/backend.h"
#include "model/activations.h"
#include "model/batch.h"
#include "model/step_adapters.h"
#include "model/weights.h"

namespace guildhall {

struct Step {
  Backend& backend;
  const ModelSpec& spec;
  const StepShape& shape;
  const Batch& batch;
  Activations& act;
  StepAdapters& adapters;
  size_t layer = 0;  // the one that is computed
};

// residual += Attention(normed), the rows' keys and values appended to the layer's cache first.
void AttentionLayer(Step& step, const LayerWeights& weights, const LayerSpec& layer, void* cache);

// residual += FFN(normed): dense, or routed experts (and shared ones).
void FeedForwardLayer(Step& step, const LayerWeights& weights);

}  // namespace guildhall
