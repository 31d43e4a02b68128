// Rows grouped by what their adapter set says.
#include <catch2/catch.hpp>

#include "tests/kernels/kernel_test.h"
#include "tests/kernels/test_sets.h"

namespace guildhall {

TEST_CASE("rows are grouped by the one slot that their set names") {
  const int32_t first = 2, second = 1;
  TestSets sets({}, {{nullptr}, {&first}, {&second}});
  const std::vector<int32_t> row_set{-1, 0, 1, 1, 2};
  const std::vector<int64_t> kv_place{0, 1, -1, 2, 3};
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    std::vector<int32_t> slot(5, -7), begin(4, -7), entry(5, -7);
    backend->GroupBySet({.sets = sets.Begin(*backend, row_set),
                         .expert_map = 0,
                         .kv_place = kv_place.data(),
                         .rows = 5,
                         .slots = 3,
                         .slot = slot.data(),
                         .group_begin = begin.data(),
                         .group_entry = entry.data()});
    CHECK(slot == std::vector<int32_t>{0, 0, -1, 2, 1});
    CHECK(begin == std::vector<int32_t>{0, 2, 3, 4});
    CHECK(std::vector<int32_t>(entry.begin(), entry.begin() + 4) == std::vector<int32_t>{0, 1, 4, 3});
  }
}

}  // namespace guildhall
