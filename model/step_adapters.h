// The adapters of one step's rows, in the form that the ops take.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/low_rank.h"
#include "model/batch.h"
#include "model/weights.h"

namespace guildhall {

// The shared experts of a layer where some tasks have replaced them: rows grouped by the network that serves
// them.
struct SharedGroups {
  std::span<const FfnWeights> table;
  const int32_t* group_begin = nullptr;  // (table + 1)
  const int32_t* group_entry = nullptr;  // (rows)
};

// Everything is empty for a batch of base rows. What a call returns is valid until the next call for the same
// kind of terms. All memory is taken in the constructor. Engine thread only.
class StepAdapters {
 public:
  explicit StepAdapters(int64_t max_rows);

  // The batch outlives the step.
  void Begin(const Batch& batch);

  bool none() const { return batch_->sets.empty(); }
  // Slot -> weights: the base's own table for a batch of base rows.
  std::span<const FfnWeights> ExpertTable(size_t layer, const LayerWeights& base) const;
  std::span<const int32_t* const> ExpertMaps(size_t layer);  // by set
  // Nothing where every row is served by the base's shared experts.
  bool ReplacesShared(size_t layer) const;
  SharedGroups GroupShared(size_t layer, const FfnWeights& base);

  LowRankRows<LowRankTerms> ForProduct(size_t layer, Product product);
  LowRankRows<HeadLowRankTerms> ForKUp(size_t layer);
  LowRankRows<HeadLowRankTerms> ForVUp(size_t layer);
  LowRankRows<FfnLowRankTerms> ForExperts(size_t layer);
  LowRankRows<FfnLowRankTerms> ForShared(size_t layer);
  LowRankRows<FfnLowRankTerms> ForDense(size_t layer);
  LowRankRows<LowRankTerms> ForEmbedding();
  LowRankRows<LowRankTerms> ForHead();  // its rows are the batch's logit rows

 private:
  template <typename Terms, typename TermsOf>
  LowRankRows<Terms> Rows(std::vector<Terms>& terms, TermsOf terms_of) const;

  const Batch* batch_ = nullptr;
  std::vector<LowRankTerms> terms_;
  std::vector<HeadLowRankTerms> head_terms_;
  std::vector<FfnLowRankTerms> ffn_terms_;
  std::vector<const int32_t*> maps_;
  std::vector<int32_t> output_task_;  // (outputs)
  std::vector<FfnWeights> shared_;
  std::vector<int32_t> shared_begin_, shared_entry_;
};

}  // namespace guildhall
