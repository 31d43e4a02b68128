// How much memory adapters take beyond their tensors, in pages and with the padding that paging replaces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace guildhall {

// After so many adapters with the published numbers of replaced experts on DeepSeek-V2-Lite. Factors are the
// bytes of the base's experts and the adapters' memory over the bytes of the base's experts and the adapters'
// tensors.
struct FragmentationRow {
  int adapters = 0;
  uint64_t tensor_bytes = 0;  // of the adapters
  uint64_t paged_bytes = 0, padded_bytes = 0;
  double paged = 0.0, padded = 0.0;
  // L (M + N E_max) / sum over layers (M + sum of e_i), from the counts alone: what `padded` should be but
  // for its pages.
  double formula = 0.0;
};

// For 1 .. `most` adapters; beyond the ten published ones, they come again with other experts. Counts pages
// and maps none, so it takes no memory. `backend` tells the sizes of packed tensors. `padded_experts`: E_max.
std::vector<FragmentationRow> MeasureFragmentation(const Backend& backend, int most, int padded_experts = 13);

// A table for people.
std::string FragmentationTable(const std::vector<FragmentationRow>& rows);

}  // namespace guildhall
