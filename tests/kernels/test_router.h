// The route op over rows of given scores, for its tests.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/device_array.h"

namespace guildhall {

struct Routed {
  std::vector<int32_t> expert, slot, group_begin, group_entry;
  std::vector<float> weight;
};

// Routes rows of given scores: with the identity as the router's matrix, x is the scores.
class Router {
 public:
  Router(Backend& backend, const GateSpec& gate);

  std::vector<float> bias;
  std::vector<int32_t> expert_map, row_set;
  std::vector<int64_t> kv_place;  // empty: all rows take part
  int64_t slots = 0;              // 0: as many as experts

  Routed Run(const std::vector<float>& scores);

 private:
  Backend& backend_;
  GateSpec gate_;
  PackedWeights packed_;
};

GateSpec Gate(int experts, int k, GateSpec::Activation activation = GateSpec::Activation::kSoftmaxAll);
GateSpec Grouped(GateSpec gate, int groups, int kept, GateSpec::GroupScore score);

}  // namespace guildhall
