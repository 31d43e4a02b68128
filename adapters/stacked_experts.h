// Low-rank changes of stacked experts (PEFT's target_parameters),
// in the three ways in which releases wrote them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/low_rank_place.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

// One stacked parameter of a layer that an adapter changes. Shapes in memory: gate_up (experts, 2 width,
// hidden), gate first; down (experts, hidden, width).
struct StackedChange {
  std::string name;  // "model.layers.0.mlp.experts.down_proj"
  int layer = 0;
  bool down = false;
  int64_t rank = 0;
  float scale = 1.0f;
  const AdapterTensor* a = nullptr;
  const AdapterTensor* b = nullptr;
};

// Whether the factors' shapes are those of this parameter, in any of the conventions.
bool StackedShapesFit(const ModelSpec& spec, const StackedChange& change);

// "[64, 48] and [80, 64]": what is expected of the factors now, for messages.
std::string StackedShapesText(const ModelSpec& spec, const StackedChange& change);

// The changes of the single experts. All of a file follow one convention: shapes tell which, `peft_version`
// does where no shape can; FAILED_PRECONDITION naming it where that is empty too. Expects shapes that fit.
absl::StatusOr<std::vector<PlacedChange>> SplitStacked(const ModelSpec& spec,
                                                       const std::vector<StackedChange>& changes,
                                                       const std::string& peft_version,
                                                       const std::string& what);

}  // namespace guildhall
