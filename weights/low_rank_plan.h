// How an adapter's low-rank changes are grouped into products and packed.
#pragma once

#include <cstdint>
#include <functional>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/model_spec.h"
#include "kernels/backend.h"
#include "weights/adapter_source.h"
#include "weights/adapter_weights.h"
#include "weights/packed_item.h"

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

  auto operator<=>(const LowRankTarget&) const = default;  // NOLINT(modernize-use-nullptr): as WeightKey
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

// A group's bytes in one stretch, and the views of them.
struct LowRankItem {
  PackedItem item;          // its place is the caller's to choose
  size_t tensor_bytes = 0;  // without padding
  // Sets the group's part of the weights; `home`: where the item begins on the device.
  std::function<void(const std::byte* home, AdapterWeights& weights)> view;
};

// `spec`, `backend` and `source` (null: sizes alone) outlive it, and so do the changes.
LowRankItem PlanLowRank(const ModelSpec& spec, const Backend& backend, const AdapterSource* source,
                        LowRankGroup group);

}  // namespace guildhall
