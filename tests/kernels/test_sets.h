// Adapter sets for the tests of ops, and the rows that they serve.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/device_array.h"

namespace guildhall {

class TestSets {
 public:
  // terms[set][product], whose changes are on the device; maps[set][map], an empty one: the identity. Either
  // may be left out.
  TestSets(Backend& backend, const std::vector<std::vector<std::vector<LowRankTerm>>>& terms,
           const std::vector<std::vector<std::vector<int32_t>>>& maps = {});

  // Begins a step of rows with these sets, each row a sequence of its own. Valid until the next one, which
  // waits for the ops of this.
  RowSets Begin(std::span<const int32_t> row_set);

 private:
  Backend& backend_;
  std::vector<DeviceArray<LowRankTerm>> terms_;
  std::vector<DeviceArray<LowRankTerms>> products_;
  std::vector<DeviceArray<int32_t>> map_entries_;
  std::vector<DeviceArray<const int32_t*>> maps_;
  std::vector<SetTable> tables_;
  std::vector<int32_t> row_set_, zeros_, sequence_;
  std::vector<int64_t> places_;
};

}  // namespace guildhall
