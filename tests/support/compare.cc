#include "tests/support/compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace guildhall {
namespace {

std::vector<double> LogSoftmax(const float* logits, size_t count) {
  const double max = *std::max_element(logits, logits + count);
  double sum = 0.0;
  for (size_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(logits[i]) - max);
  std::vector<double> result(count);
  for (size_t i = 0; i < count; ++i) result[i] = static_cast<double>(logits[i]) - max - std::log(sum);
  return result;
}

}  // namespace

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

void NextTokenDifference::Add(const std::vector<float>& expected, const std::vector<float>& found,
                              size_t vocabulary) {
  GH_CHECK_EQ(expected.size(), found.size());
  for (size_t at = 0; at < expected.size(); at += vocabulary) {
    const auto p = LogSoftmax(expected.data() + at, vocabulary);
    const auto q = LogSoftmax(found.data() + at, vocabulary);
    for (size_t i = 0; i < vocabulary; ++i) divergence += std::exp(p[i]) * (p[i] - q[i]);
    agree +=
        std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
    ++positions;
  }
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace guildhall
