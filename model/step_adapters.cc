#include "model/step_adapters.h"

#include <algorithm>

#include "base/check.h"

namespace guildhall {

StepAdapters::StepAdapters(size_t layers, const ExpertTables& base)
    : base_(base), changed_(ProductNumbers(layers)), mapped_(ExpertMaps(layers)) {}

void StepAdapters::Begin(const Batch& batch, const StepData& step, const StepWorkspace::View& workspace) {
  step_ = &step;
  workspace_ = workspace;
  tables_ = &base_;
  std::fill(changed_.begin(), changed_.end(), uint8_t{0});
  std::fill(mapped_.begin(), mapped_.end(), uint8_t{0});
  if (batch.sets.empty()) return;
  GH_CHECK(batch.tables != nullptr);
  tables_ = batch.tables;
  GH_CHECK_LE(tables_->max_slots, workspace.slots);
  for (const AdapterSet* set : batch.sets) {
    GH_CHECK_LE(set->rank_columns, workspace.columns);
    for (size_t p = 0; p < changed_.size(); ++p) {
      if (!set->products[p].empty()) changed_[p] = 1;
    }
    for (size_t l = 0; l < set->layers.size(); ++l) {
      if (!set->layers[l].expert_map.empty()) mapped_[static_cast<size_t>(RoutedMap(l))] = 1;
      if (set->layers[l].shared_slot >= 0) mapped_[static_cast<size_t>(SharedMap(l))] = 1;
    }
  }
}

LowRankRows StepAdapters::Changes(int32_t product, const RowSets& rows) const {
  if (changed_[static_cast<size_t>(product)] == 0) return {};
  return {.rows = rows, .product = product, .workspace = workspace_.low_rank, .stride = workspace_.columns};
}

}  // namespace guildhall
