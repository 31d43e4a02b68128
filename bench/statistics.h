// Medians of repeated measurements.
#pragma once

#include <vector>

namespace guildhall {

// The upper one of two middle values; 0 for none.
double Median(std::vector<double> values);

struct Spread {
  double median = 0.0, low = 0.0, high = 0.0;
};
Spread SpreadOf(const std::vector<double>& values);

}  // namespace guildhall
