// The adapters of one step's rows, in the form that the ops take.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/step_data.h"
#include "model/batch.h"
#include "weights/product_numbers.h"
#include "weights/step_workspace.h"

namespace guildhall {

// Says which products and expert maps some set of the step changes; for a batch of base rows, none. All
// memory is taken in the constructor. Engine thread only.
class StepAdapters {
 public:
  // `base`: the tables without adapters.
  StepAdapters(size_t layers, const ExpertTables& base);

  // All of them outlive the step.
  void Begin(const Batch& batch, const StepData& step, const StepWorkspace::View& workspace);

  const ExpertTables::Table& Table(int32_t map) const { return tables_->tables[static_cast<size_t>(map)]; }
  // Some row's set has a map of its own.
  bool Maps(int32_t map) const { return mapped_[static_cast<size_t>(map)] != 0; }
  // Those of the rows; none where no set has such a map.
  RowSets Sets(int32_t map) const { return Maps(map) ? step_->row_sets : RowSets(); }

  // The changes of a product; none where no set has any.
  LowRankRows Rows(int32_t product) const { return Changes(product, step_->row_sets); }
  LowRankRows LogitRows(int32_t product) const { return Changes(product, step_->logit_sets); }

 private:
  LowRankRows Changes(int32_t product, const RowSets& rows) const;

  const ExpertTables& base_;
  const ExpertTables* tables_ = nullptr;
  const StepData* step_ = nullptr;
  StepWorkspace::View workspace_;
  std::vector<uint8_t> changed_;  // (product numbers)
  std::vector<uint8_t> mapped_;   // (expert maps)
};

}  // namespace guildhall
