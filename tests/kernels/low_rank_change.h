// Low-rank changes for the tests of ops: on the device, and in double precision.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/kernels/products_reference.h"

namespace guildhall {

// One module's A and B, in float64 too.
struct Module {
  TestWeights a, b;
  int64_t out_begin;
  float scale;
};

// A change with its memory.
struct Change {
  std::vector<Module> modules;
  std::vector<float> gain, in_gain;
  std::vector<PackedWeights> memory;
  std::vector<LowRankPart> parts;
  std::vector<DeviceArray<LowRankPart>> parts_there;
  std::vector<DeviceArray<float>> gain_there;

  void Add(Backend& backend, DType dtype, int64_t out_begin, int64_t out, int64_t in, int64_t rank,
           float scale, Random& random, int32_t index = 0);

  // What it is on the device.
  LowRank Pack(Backend& backend);

  // y += factor * B A x, where y has `out` columns.
  void AddTo(std::span<const double> x, double factor, std::vector<double>& y) const;
};

}  // namespace guildhall
