// Log-probabilities and their helpers against double precision.
#include "engine/logprobs.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

namespace guildhall {
namespace {

TEST_CASE("The exponential is right to two units in the last place and 0 where floats end") {
  double worst = 0.0;
  for (float x = 0.0f; x > -86.9f; x -= 0.0037f) {
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(ExpNonPositive(x)) - exact) / exact);
  }
  CHECK(worst < 2.4e-7);
  CHECK(ExpNonPositive(0.0f) == 1.0f);
  CHECK(ExpNonPositive(-88.0f) == 0.0f);
  CHECK(ExpNonPositive(-std::numeric_limits<float>::infinity()) == 0.0f);
}

TEST_CASE("LogSumExp is exact to float precision and does not overflow") {
  std::mt19937 random(1);
  for (const size_t size : {1u, 2u, 15u, 16u, 17u, 1000u}) {
    for (const float shift : {0.0f, 1000.0f, -1000.0f}) {
      std::vector<float> logits(size);
      double sum = 0.0;
      for (float& logit : logits) {
        const float base = std::uniform_real_distribution<float>(-5.0f, 5.0f)(random);
        logit = base + shift;
        sum += std::exp(static_cast<double>(logit) - static_cast<double>(shift));
      }
      CHECK(LogSumExp(logits) ==
            Approx(std::log(sum) + static_cast<double>(shift)).margin(1e-6).epsilon(1e-9));
    }
  }
}

TEST_CASE("The k-th largest is that of a full sort") {
  std::mt19937 random(2);
  std::vector<float> buffer;
  for (const size_t size : {1u, 10u, 5000u, 20000u}) {
    std::vector<float> values(size);
    for (float& value : values) value = static_cast<float>(random() % 1000);
    std::vector<float> sorted = values;
    std::sort(sorted.begin(), sorted.end(), std::greater<float>());
    for (const size_t k : {size_t{1}, size_t{2}, size / 2, size}) {
      if (k > 0 && k <= size) CHECK(KthLargest(values, k, buffer) == sorted[k - 1]);
    }
    CHECK(KthLargest(values, size + 1, buffer) == -std::numeric_limits<float>::infinity());
    std::sort(values.begin(), values.end());  // the worst order
    CHECK(KthLargest(values, 1, buffer) == sorted[0]);
  }
}

TEST_CASE("The best tokens come first, the lower id of equals, with their log-probabilities") {
  std::vector<float> buffer;
  const std::vector<float> logits = {1.0f, 2.0f, 2.0f, 0.0f, 2.0f};
  const double sum = std::log(std::exp(1.0) + 3 * std::exp(2.0) + 1.0);
  const TokenLogprob logprob = MakeLogprob(logits, 3, 2, buffer);
  CHECK(logprob.token == 3);
  CHECK(static_cast<double>(logprob.logprob) == Approx(-sum).margin(1e-6));
  REQUIRE(logprob.top.size() == 2);
  CHECK(logprob.top[0].first == 1);
  CHECK(logprob.top[1].first == 2);
  CHECK(static_cast<double>(logprob.top[0].second) == Approx(2.0 - sum).margin(1e-6));
  const TokenLogprob all = MakeLogprob(logits, 0, 20, buffer);
  REQUIRE(all.top.size() == 5);
  CHECK(all.top[3].first == 0);
  CHECK(all.top[4].first == 3);
  CHECK(MakeLogprob(logits, 0, 0, buffer).top.empty());
}

TEST_CASE("Finite means neither NaN nor infinite, at any place") {
  for (const size_t size : {1u, 16u, 37u}) {
    std::vector<float> logits(size, 1e30f);
    CHECK(AllFinite(logits));
    for (size_t i = 0; i < size; ++i) {
      for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        logits[i] = bad;
        CHECK_FALSE(AllFinite(logits));
      }
      logits[i] = -1e30f;
    }
  }
}

}  // namespace
}  // namespace guildhall
