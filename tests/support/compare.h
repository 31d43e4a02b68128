// Comparisons of logits that several tests share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace guildhall {

// Of a value: absolute + relative * |expected|.
struct Tolerance {
  double absolute, relative;
};

// The largest excess over the tolerance, <= 0 when all is well; huge for a NaN.
double Excess(const std::vector<float>& found, const std::vector<float>& expected, Tolerance tolerance);

// How far next tokens move, over all positions of some sequences.
struct NextTokenDifference {
  double divergence = 0.0;  // sum of KL(expected || found), nats
  int64_t positions = 0, agree = 0;

  // (positions, vocabulary) logits each; CHECK: of one size.
  void Add(const std::vector<float>& expected, const std::vector<float>& found, size_t vocabulary);
  double mean() const { return divergence / static_cast<double>(positions); }
  double agreement() const { return static_cast<double>(agree) / static_cast<double>(positions); }
};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace guildhall
