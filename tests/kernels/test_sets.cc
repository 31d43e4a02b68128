#include "tests/kernels/test_sets.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace guildhall {

TestSets::TestSets(std::vector<std::vector<std::vector<LowRankTerm>>> terms,
                   std::vector<std::vector<const int32_t*>> maps)
    : terms_(std::move(terms)), maps_(std::move(maps)) {
  products_.resize(terms_.size());
  for (size_t set = 0; set < terms_.size(); ++set) {
    for (const std::vector<LowRankTerm>& product : terms_[set]) {
      products_[set].push_back({product.data(), static_cast<int64_t>(product.size())});
    }
  }
  tables_.resize(std::max(products_.size(), maps_.size()));
  for (size_t set = 0; set < products_.size(); ++set) tables_[set].products = products_[set].data();
  for (size_t set = 0; set < maps_.size(); ++set) tables_[set].expert_maps = maps_[set].data();
}

RowSets TestSets::Begin(Backend& backend, std::span<const int32_t> row_set) {
  row_set_.assign(row_set.begin(), row_set.end());
  zeros_.assign(row_set.size(), 0);
  places_.assign(row_set.size(), 0);
  sequence_.resize(row_set.size());
  std::iota(sequence_.begin(), sequence_.end(), 0);
  return backend
      .BeginStep({.tokens = zeros_,
                  .positions = zeros_,
                  .sequence = sequence_,
                  .kv_place = places_,
                  .set = row_set_,
                  .block_table = zeros_,
                  .max_blocks = 1,
                  .logit_rows = {},
                  .hidden_rows = {},
                  .sets = tables_})
      .row_sets;
}

}  // namespace guildhall
