// How matrix units may sum: models to hold against what the device gave.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace guildhall::probe {

// One after another in float, each product fused: the emulation's order.
inline float SumInOrder(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0.0f;
  for (size_t k = 0; k < a.size(); ++k) sum = std::fmaf(a[k], b[k], sum);
  return sum;
}

// Toward zero, to a multiple of 2^exponent.
inline double Truncated(double value, int exponent) {
  return std::ldexp(std::trunc(std::ldexp(value, -exponent)), exponent);
}

// To float, toward zero.
inline float TowardZero(double value) {
  const float near = static_cast<float>(value);
  return std::fabs(static_cast<double>(near)) > std::fabs(value) ? std::nextafter(near, 0.0f) : near;
}

// `block` exact products and the sum so far are aligned to the largest of them, cut off `bits`
// below its first bit, added and cut to a float; so for every block of k.
inline float SumInBlocks(const std::vector<float>& a, const std::vector<float>& b, size_t block, int bits) {
  float sum = 0.0f;
  for (size_t begin = 0; begin < a.size(); begin += block) {
    std::vector<double> terms{static_cast<double>(sum)};
    for (size_t k = begin; k < begin + block; ++k)
      terms.push_back(static_cast<double>(a[k]) * static_cast<double>(b[k]));
    int largest = -1000;
    for (const double term : terms) {
      if (term != 0.0) largest = std::max(largest, std::ilogb(term));
    }
    if (largest == -1000) continue;
    double total = 0.0;
    for (const double term : terms) total += Truncated(term, largest - bits);
    sum = TowardZero(total);
  }
  return sum;
}

}  // namespace guildhall::probe
