// Comparisons of logits that several tests share.
#pragma once

#include <vector>

namespace guildhall {

// Of a value: absolute + relative * |expected|.
struct Tolerance {
  double absolute, relative;
};

// The largest excess over the tolerance, <= 0 when all is well; huge for a NaN.
double Excess(const std::vector<float>& found, const std::vector<float>& expected, Tolerance tolerance);

bool SameBits(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace guildhall
