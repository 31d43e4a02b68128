// Low-rank changes from the host's plan of them to what ops read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device_memory.h"
#include "kernels/low_rank.h"

namespace guildhall {

// What LowRank describes, with its parts on the host. Pointers are the device's.
struct LowRankPlan {
  Matrix a;
  std::vector<LowRankPart> parts;
  const float* gain = nullptr;
  const float* in_gain = nullptr;

  bool empty() const { return a.empty() && gain == nullptr && in_gain == nullptr; }
};

// A product that an adapter changes.
struct ProductChange {
  int32_t product = 0;              // see product_numbers.h
  const LowRank* change = nullptr;  // on the device: (heads), (experts) or (1)
};

// Owns the descriptors of one adapter.
struct LowRankDescriptors {
  std::vector<ProductChange> changes;  // by ascending product
  DeviceBuffer memory;
};

// Collects the changes of an adapter, product by product, and brings them to the device at once.
class LowRankDescriber {
 public:
  // By ascending product. `plans` outlive Build(); those that are all empty are no change.
  void Add(int32_t product, std::vector<const LowRankPlan*> plans);
  // RESOURCE_EXHAUSTED.
  absl::StatusOr<LowRankDescriptors> Build(DeviceMemory& memory) const;

 private:
  struct Entry {
    int32_t product;
    std::vector<const LowRankPlan*> plans;
  };
  std::vector<Entry> entries_;
};

}  // namespace guildhall
