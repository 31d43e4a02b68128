// What loading an adapter will take and do, from its manifest alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/model_spec.h"
#include "kernels/backend.h"
#include "weights/adapter_memory.h"
#include "weights/adapter_source.h"
#include "weights/adapter_weights.h"
#include "weights/packed_item.h"
#include "weights/weight_formats.h"

namespace guildhall {

// Ranges that adapters of this model need: for each layer its experts' gate/up and down and its shared
// experts' gate/up and down, and one for everything of low rank.
size_t AdapterRanges(const ModelSpec& spec);

// Sets views of what will be packed: `runs` are the plan's, allocated.
using AdapterView = std::function<void(std::span<const Run> runs, AdapterWeights& weights)>;

struct AdapterPlan {
  std::vector<Run> runs;          // one per replaced tensor and one for a layer's low rank, by layer
  std::vector<PackedItem> items;  // what fills them; independent of each other
  std::vector<AdapterView> views;
  AdapterWeights weights;     // its shape; without places and slots
  uint64_t tensor_bytes = 0;  // packed, without padding
  int layers = 0;             // touched
  int experts = 0;            // replaced, all layers
  int low_rank_modules = 0;
};

struct AdapterPlanOptions {
  WeightFormats formats = {};  // of replaced experts and shared experts; unset: as the files have them
  int padded_experts = 0;      // > 0: an adapter that replaces experts takes so many places in each MoE layer
};

// `source`: of the manifest; the items read it. Null: asked for sizes alone. All outlive the plan.
// FAILED_PRECONDITION names what the forward pass cannot express; CHECK: the manifest fits the model.
absl::StatusOr<AdapterPlan> PlanAdapter(const ModelSpec& spec, const Backend& backend,
                                        const AdapterManifest& manifest, const AdapterSource* source,
                                        const AdapterPlanOptions& options = {});

// plan.weights with places: the adapter as ops will read it once its items are packed. Known as soon as the
// plan's runs are allocated, before a byte is read. Without slots and descriptors.
AdapterWeights TakeViews(AdapterPlan& plan);

}  // namespace guildhall
