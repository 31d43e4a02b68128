#include "tests/support/compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace guildhall {

double Excess(const std::vector<float>& found, const std::vector<float>& expected, Tolerance tolerance) {
  double excess = -1.0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = std::fabs(double{found[i]} - double{expected[i]});
    if (!(difference <= 1e30)) return 1e30;  // NaN
    excess = std::max(excess,
                      difference - tolerance.absolute - tolerance.relative * std::fabs(double{expected[i]}));
  }
  return excess;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace guildhall
