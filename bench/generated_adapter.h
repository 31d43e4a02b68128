// Random adapters of a shape, made as they are read.
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/model_spec.h"
#include "weights/adapter_source.h"

namespace guildhall {

struct GeneratedAdapterShape {
  std::vector<int> experts_per_layer;  // ESFT: replaced experts of each MoE layer, in turn; empty: none
  int64_t rank = 0;                    // LoRA; 0: none
  bool attention = false;              // LoRA on every attention projection
  bool experts = false;                // LoRA on every projection of every routed expert
};

// Values uniform and small; bf16. `seed` chooses the replaced experts and the values.
std::unique_ptr<AdapterSource> MakeGeneratedAdapter(const ModelSpec& spec, const GeneratedAdapterShape& shape,
                                                    uint64_t seed);

}  // namespace guildhall
