// Every weight of a decoder: what it is called, where it lies among the packed bytes and how it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/weight_source.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "weights/packed_item.h"
#include "weights/weight_formats.h"

namespace guildhall {

// Who chooses a matrix's format.
enum class MatrixKind {
  kKept,    // embedding rows, kv_b: as the checkpoint has them
  kRouter,  // routers and gates of shared experts: F32
  kExpert,
  kSharedExpert,
  kDense,
  kAttention,
  kHead,
};

// The format of a matrix that is made of the tensors `keys`, stacked.
using FormatRule =
    std::function<WeightFormat(const std::string& name, MatrixKind kind, std::span<const WeightKey> keys)>;

// As `formats` asks by kind, else as the source has it: F32 where parts of one matrix differ. The source
// outlives the rule.
FormatRule AskedFormats(const WeightSource& source, const WeightFormats& formats);

// The choice of one kind; unset: as the checkpoint has it.
std::optional<WeightFormat> AskedFormat(const WeightFormats& formats, MatrixKind kind);

// In the order in which a step reads them, all in run 0.
struct WeightPlan {
  std::vector<PackedItem> items;
  size_t bytes = 0;
};

// `source`, `backend`: outlive the plan. `weights` becomes views into `memory` (null: sizes alone), whose
// bytes others fill.
WeightPlan PlanWeights(const WeightSource& source, const Backend& backend, const FormatRule& rule,
                       const std::byte* memory, DecoderWeights& weights);

}  // namespace guildhall
