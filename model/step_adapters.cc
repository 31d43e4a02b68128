#include "model/step_adapters.h"

#include "base/check.h"

namespace guildhall {

StepAdapters::StepAdapters(int64_t max_rows) {
  // Every set has a row, so there are no more sets than rows.
  const auto rows = static_cast<size_t>(max_rows);
  terms_.reserve(rows);
  head_terms_.reserve(rows);
  ffn_terms_.reserve(rows);
  maps_.reserve(rows);
  output_task_.reserve(rows);
  shared_.reserve(rows + 1);
  shared_begin_.reserve(rows + 2);
  shared_entry_.reserve(rows);
}

void StepAdapters::Begin(const Batch& batch) {
  batch_ = &batch;
  if (batch.sets.empty()) return;
  GH_CHECK(batch.tables != nullptr);
  GH_CHECK_LE(batch.sets.size(), terms_.capacity());
  for (const AdapterSet* set : batch.sets) GH_CHECK_LE(set->rank_columns, batch.tables->rank_columns);
  output_task_.clear();
  for (const int32_t row : batch.logit_rows) output_task_.push_back(batch.task[static_cast<size_t>(row)]);
}

std::span<const FfnWeights> StepAdapters::ExpertTable(size_t layer, const LayerWeights& base) const {
  if (none()) return base.experts;
  return batch_->tables->layers[layer].slots;
}

std::span<const int32_t* const> StepAdapters::ExpertMaps(size_t layer) {
  maps_.clear();
  for (const AdapterSet* set : batch_->sets) {
    const std::vector<int32_t>& map = set->layers[layer].expert_map;
    maps_.push_back(map.empty() ? nullptr : map.data());
  }
  return maps_;
}

bool StepAdapters::ReplacesShared(size_t layer) const {
  for (const AdapterSet* set : batch_->sets) {
    if (set->layers[layer].shared != nullptr) return true;
  }
  return false;
}

SharedGroups StepAdapters::GroupShared(size_t layer, const FfnWeights& base) {
  const auto rows = static_cast<int32_t>(batch_->rows());
  const auto replaced_by = [&](int32_t row) -> const FfnWeights* {
    const int32_t set = batch_->task[static_cast<size_t>(row)];
    return set < 0 ? nullptr : batch_->sets[static_cast<size_t>(set)]->layers[layer].shared;
  };
  shared_.assign(1, base);
  shared_begin_.assign(1, 0);
  shared_entry_.clear();
  for (int32_t row = 0; row < rows; ++row) {
    if (replaced_by(row) == nullptr) shared_entry_.push_back(row);
  }
  shared_begin_.push_back(static_cast<int32_t>(shared_entry_.size()));
  // A set's rows are neighbours: each replacement is one run.
  for (int32_t row = 0; row < rows;) {
    const FfnWeights* weights = replaced_by(row);
    int32_t end = row + 1;
    while (end < rows && replaced_by(end) == weights) ++end;
    if (weights != nullptr) {
      GH_CHECK_LT(shared_.size(), shared_.capacity());
      for (int32_t r = row; r < end; ++r) shared_entry_.push_back(r);
      shared_.push_back(*weights);
      shared_begin_.push_back(static_cast<int32_t>(shared_entry_.size()));
    }
    row = end;
  }
  return {.table = shared_, .group_begin = shared_begin_.data(), .group_entry = shared_entry_.data()};
}

template <typename Terms, typename TermsOf>
LowRankRows<Terms> StepAdapters::Rows(std::vector<Terms>& terms, TermsOf terms_of) const {
  terms.clear();
  bool any = false;
  for (const AdapterSet* set : batch_->sets) {
    terms.push_back(terms_of(*set));
    any = any || !terms.back().empty();
  }
  if (!any) return {};
  return {.row_task = batch_->task.data(),
          .tasks = terms,
          .workspace = batch_->tables->low_rank_workspace,
          .stride = batch_->tables->rank_columns};
}

LowRankRows<LowRankTerms> StepAdapters::ForProduct(size_t layer, Product product) {
  return Rows(terms_, [&](const AdapterSet& set) -> LowRankTerms {
    return set.layers[layer].products[static_cast<size_t>(product)];
  });
}

LowRankRows<HeadLowRankTerms> StepAdapters::ForKUp(size_t layer) {
  return Rows(head_terms_, [&](const AdapterSet& set) -> HeadLowRankTerms { return set.layers[layer].k_up; });
}

LowRankRows<HeadLowRankTerms> StepAdapters::ForVUp(size_t layer) {
  return Rows(head_terms_, [&](const AdapterSet& set) -> HeadLowRankTerms { return set.layers[layer].v_up; });
}

LowRankRows<FfnLowRankTerms> StepAdapters::ForExperts(size_t layer) {
  return Rows(ffn_terms_,
              [&](const AdapterSet& set) -> FfnLowRankTerms { return set.layers[layer].experts; });
}

LowRankRows<FfnLowRankTerms> StepAdapters::ForShared(size_t layer) {
  return Rows(ffn_terms_,
              [&](const AdapterSet& set) -> FfnLowRankTerms { return set.layers[layer].shared_terms; });
}

LowRankRows<FfnLowRankTerms> StepAdapters::ForDense(size_t layer) {
  return Rows(ffn_terms_, [&](const AdapterSet& set) -> FfnLowRankTerms { return set.layers[layer].dense; });
}

LowRankRows<LowRankTerms> StepAdapters::ForEmbedding() {
  return Rows(terms_, [](const AdapterSet& set) -> LowRankTerms { return set.embedding; });
}

LowRankRows<LowRankTerms> StepAdapters::ForHead() {
  LowRankRows<LowRankTerms> rows =
      Rows(terms_, [](const AdapterSet& set) -> LowRankTerms { return set.head; });
  if (!rows.none()) rows.row_task = output_task_.data();
  return rows;
}

}  // namespace guildhall
