// How an adapter's low-rank changes are grouped into products and packed.
#pragma once

#include <cstdint>
#include <functional>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/model_spec.h"
#include "kernels/backend.h"
#include "weights/adapter_plan.h"

namespace guildhall {

// The product that a low-rank change belongs to, in the words of AdapterWeights.
struct LowRankTarget {
  enum class Kind {
    kProduct,  // index: Product
    kKvB,
    kExpertGateUp,  // index: logical expert
    kExpertDown,
    kSharedGateUp,
    kSharedDown,
    kDenseGateUp,
    kDenseDown,
    kHead,
    kEmbedding,
  };
  int layer = -1;  // -1: the head and the embedding
  Kind kind = Kind::kProduct;
  int index = 0;

  auto operator<=>(const LowRankTarget&) const = default;
};

// All changes of one product.
struct LowRankGroup {
  struct Module {
    const LowRankChange* change = nullptr;
    int32_t module = 0;     // as LowRankPart
    int64_t out_begin = 0;  // as LowRankPart
  };
  LowRankTarget target;
  std::vector<Module> modules;  // by ascending (module, out_begin)

  bool dora() const;
  DType a_dtype() const;  // BF16 if all modules are kept so, else F32
  int64_t rank() const;   // of all modules
};

// By (layer, kind, index). CHECK: the changes fit the model.
std::vector<LowRankGroup> GroupLowRank(const ModelSpec& spec, const std::vector<LowRankChange>& changes);

// Makes room in `weights` for the groups.
void ShapeLowRank(const ModelSpec& spec, const Backend& backend, const std::vector<LowRankGroup>& groups,
                  AdapterWeights& weights);

// Gives `bytes` a place in the group's run.
struct PackPlace {
  size_t run = 0, offset = 0;

  std::byte* In(const PackContext& context) const { return context.runs[run].begin + offset; }
};
using TakePlace = std::function<PackPlace(size_t bytes)>;

// The job that packs a group; takes the places that it needs. `spec` and `backend` outlive it.
PackJob LowRankJob(const ModelSpec& spec, const Backend& backend, LowRankGroup group, const TakePlace& take);

}  // namespace guildhall
