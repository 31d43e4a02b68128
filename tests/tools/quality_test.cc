#include "tools/quality.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

namespace guildhall {
namespace {

// Logits of a distribution over three tokens.
std::vector<float> Logits(double a, double b, double c) {
  return {static_cast<float>(std::log(a)), static_cast<float>(std::log(b)), static_cast<float>(std::log(c))};
}

struct TwoMeters {
  // The second counts only what follows its prompt of two tokens.
  std::vector<QualityExample> examples{{{0, 1, 2}, 1, "math"}, {{2, 2, 0}, 2, ""}};
  QualityMeter reference{examples, nullptr};
  QualityMeter other{examples, &reference};

  TwoMeters() {
    reference.Add(0, 0, Logits(0.25, 0.5, 0.25));
    reference.Add(0, 1, Logits(0.1, 0.1, 0.8));
    reference.Add(1, 0, Logits(1.0, 0.0, 0.0));
    reference.Add(1, 1, Logits(0.5, 0.25, 0.25));
    other.Add(1, 1, Logits(0.25, 0.5, 0.25));
    other.Add(0, 1, Logits(0.1, 0.1, 0.8));
    other.Add(0, 0, Logits(0.25, 0.5, 0.25));
  }
};

TEST_CASE("The reference's figures are those of the expected tokens alone") {
  const auto figures = TwoMeters().reference.Figures();
  const QualityFigures& math = figures.at("math");
  CHECK(math.examples == 1);
  CHECK(math.positions == 2);
  CHECK(math.accuracy == 1.0);
  CHECK(math.perplexity == Approx(1.0 / std::sqrt(0.5 * 0.8)));
  CHECK(math.divergence == 0.0);
  CHECK(math.agreement == 1.0);
  const QualityFigures& all = figures.at("");
  CHECK(all.examples == 2);
  CHECK(all.positions == 3);
  CHECK(all.perplexity == Approx(std::pow(0.5 * 0.8 * 0.5, -1.0 / 3.0)));
  CHECK(figures.size() == 2);
}

TEST_CASE("Another model is compared with the reference position by position") {
  const auto figures = TwoMeters().other.Figures();
  CHECK(figures.at("math").divergence == 0.0);
  CHECK(figures.at("math").agreement == 1.0);
  const QualityFigures& all = figures.at("");
  // KL((.5 .25 .25) || (.25 .5 .25)) = .5 ln 2 - .25 ln 2.
  CHECK(all.worst == Approx(0.25 * std::log(2.0)).epsilon(1e-5));
  CHECK(all.divergence == Approx(0.25 * std::log(2.0) / 3.0).epsilon(1e-5));
  CHECK(all.agreement == Approx(2.0 / 3.0));
  CHECK(all.accuracy == 0.5);
  CHECK(all.perplexity == Approx(std::pow(0.5 * 0.8 * 0.25, -1.0 / 3.0)));
}

TEST_CASE("Tokens that the reference rules out add nothing to a divergence") {
  const std::vector<QualityExample> examples{{{0, 0}, 1, ""}};
  QualityMeter reference(examples, nullptr), other(examples, &reference);
  reference.Add(0, 0, Logits(1.0, 0.0, 0.0));
  other.Add(0, 0, Logits(0.5, 0.5, 0.0));
  CHECK(other.Figures().at("").divergence == Approx(std::log(2.0)).epsilon(1e-5));
}

}  // namespace
}  // namespace guildhall
