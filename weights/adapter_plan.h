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
#include "weights/weight_formats.h"

namespace guildhall {

// Ranges that adapters of this model need: for each layer its experts' gate/up and down and its shared
// experts' gate/up and down, and one for everything of low rank.
size_t AdapterRanges(const ModelSpec& spec);

// What a packing job works with.
struct PackContext {
  const AdapterSource& source;
  std::span<const Run> runs;  // those of the plan, allocated
  AdapterWeights& weights;    // the plan's skeleton; jobs fill distinct parts of it
  std::vector<AdapterSource::Scratch>& scratch;
  const std::function<bool()>& stop;  // true: the job returns CANCELLED soon
};

// One product of low rank, or one replaced tensor. Jobs are independent.
struct PackJob {
  size_t bytes = 0;  // packed
  std::function<absl::Status(PackContext&)> run;
};

struct AdapterPlan {
  std::vector<Run> runs;  // one per replaced tensor and one for a layer's low rank, by layer
  std::vector<PackJob> jobs;
  AdapterWeights weights;     // its shape; without places and slots
  uint64_t tensor_bytes = 0;  // packed, without padding
  int layers = 0;             // touched
  int experts = 0;            // replaced, all layers
  int low_rank_modules = 0;
};

// Scratch buffers that a job may use.
inline constexpr size_t kPackScratch = 8;

struct AdapterPlanOptions {
  WeightFormats formats = {};  // of replaced experts and shared experts; unset: as the files have them
  int padded_experts = 0;      // > 0: an adapter that replaces experts takes so many places in each MoE layer
};

// `manifest`, `spec` and `backend` outlive the plan. FAILED_PRECONDITION names what the forward pass cannot
// express; CHECK: the manifest fits the model.
absl::StatusOr<AdapterPlan> PlanAdapter(const ModelSpec& spec, const Backend& backend,
                                        const AdapterManifest& manifest,
                                        const AdapterPlanOptions& options = {});

}  // namespace guildhall
