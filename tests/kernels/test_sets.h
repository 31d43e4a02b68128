// Adapter sets for the tests of ops, and the rows that they serve.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace guildhall {

class TestSets {
 public:
  // terms[set][product]; they and the maps outlive this. maps[set][map]; may be empty.
  explicit TestSets(std::vector<std::vector<std::vector<LowRankTerm>>> terms,
                    std::vector<std::vector<const int32_t*>> maps = {});

  // Begins a step of rows with these sets, each row a sequence of its own.
  RowSets Begin(Backend& backend, std::span<const int32_t> row_set);

 private:
  std::vector<std::vector<std::vector<LowRankTerm>>> terms_;
  std::vector<std::vector<LowRankTerms>> products_;
  std::vector<std::vector<const int32_t*>> maps_;
  std::vector<SetTable> tables_;
  std::vector<int32_t> row_set_, zeros_, sequence_;
  std::vector<int64_t> places_;
};

}  // namespace guildhall
