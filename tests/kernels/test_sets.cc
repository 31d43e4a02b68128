#include "tests/kernels/test_sets.h"

#include <algorithm>
#include <numeric>

namespace guildhall {

TestSets::TestSets(Backend& backend, const std::vector<std::vector<std::vector<LowRankTerm>>>& terms,
                   const std::vector<std::vector<std::vector<int32_t>>>& maps)
    : backend_(backend), tables_(std::max(terms.size(), maps.size())) {
  for (size_t set = 0; set < terms.size(); ++set) {
    std::vector<LowRankTerms> products;
    for (const std::vector<LowRankTerm>& product : terms[set]) {
      terms_.push_back(OnDevice(backend, product));
      products.push_back({terms_.back().data(), static_cast<int64_t>(product.size())});
    }
    products_.push_back(OnDevice(backend, products));
    tables_[set].products = products_.back().data();
  }
  for (size_t set = 0; set < maps.size(); ++set) {
    std::vector<const int32_t*> places;
    for (const std::vector<int32_t>& map : maps[set]) {
      map_entries_.push_back(OnDevice(backend, map));
      places.push_back(map.empty() ? nullptr : map_entries_.back().data());
    }
    maps_.push_back(OnDevice(backend, places));
    tables_[set].expert_maps = maps_.back().data();
  }
}

RowSets TestSets::Begin(std::span<const int32_t> row_set) {
  AwaitOps(backend_);
  row_set_.assign(row_set.begin(), row_set.end());
  zeros_.assign(row_set.size(), 0);
  places_.assign(row_set.size(), 0);
  sequence_.resize(row_set.size());
  std::iota(sequence_.begin(), sequence_.end(), 0);
  return backend_
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
