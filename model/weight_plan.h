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

using WeightScratch = std::vector<std::vector<std::byte>>;
inline constexpr size_t kWeightScratch = 4;  // buffers that one fill uses

// One matrix, one vector, or the heads of one kv_b.
struct WeightItem {
  std::string name;  // "layers.3.experts.17.gate_up"
  WeightFormat format = WeightFormat::kF32;
  int64_t out = 0, in = 0;  // of the matrix or of the stacked heads; a vector: (1, n)
  size_t offset = 0;        // of the packed bytes, a multiple of 64
  size_t bytes = 0;         // without the gap to the next item
  // Writes all `bytes` at `place` (64-byte aligned, zeroed) from the source that the plan was made for. Any
  // thread, with kWeightScratch buffers of its own.
  std::function<absl::Status(std::byte* place, WeightScratch& scratch)> fill = {};
};

// In the order in which a step reads them.
struct WeightPlan {
  std::vector<WeightItem> items;
  size_t bytes = 0;
};

// `source`, `backend`: outlive the plan. `weights` becomes views into `memory` (null: sizes alone), whose
// bytes others fill.
WeightPlan PlanWeights(const WeightSource& source, const Backend& backend, const FormatRule& rule,
                       const std::byte* memory, DecoderWeights& weights);

}  // namespace guildhall
