#include "tools/quality.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/logprobs.h"

namespace guildhall {
namespace {

// Sum over p of p * (log p - log q); a token that p gives no mass adds nothing.
double Divergence(std::span<const float> p, std::span<const float> q) {
  double sum = 0.0;
  for (size_t i = 0; i < p.size(); ++i) {
    const auto log_p = static_cast<double>(p[i]), log_q = static_cast<double>(q[i]);
    if (std::isfinite(log_p)) sum += std::exp(log_p) * (log_p - log_q);
  }
  return std::max(0.0, sum);  // rounding may leave a hair below zero
}

}  // namespace

QualityMeter::QualityMeter(std::span<const QualityExample> examples, const QualityMeter* reference)
    : examples_(examples), reference_(reference), positions_(examples.size()) {
  for (size_t i = 0; i < examples.size(); ++i) {
    GH_CHECK_GE(examples[i].begin, size_t{1});
    GH_CHECK_LT(examples[i].begin, examples[i].tokens.size());
    positions_[i].resize(examples[i].tokens.size() - examples[i].begin);
  }
}

void QualityMeter::Add(size_t example, int32_t position, std::span<const float> logits) {
  const QualityExample& from = examples_[example];
  const size_t next = static_cast<size_t>(position) + 1;
  if (next < from.begin || next >= from.tokens.size()) return;
  Position& at = positions_[example][next - from.begin];
  const double sum = LogSumExp(logits);
  std::vector<float> logprobs(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    logprobs[i] = static_cast<float>(static_cast<double>(logits[i]) - sum);
  }
  at.expected = static_cast<double>(logprobs[static_cast<size_t>(from.tokens[next])]);
  at.best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  if (reference_ == nullptr) {
    at.logprobs = std::move(logprobs);
  } else {
    at.divergence = Divergence(reference_->positions_[example][next - from.begin].logprobs, logprobs);
  }
}

std::map<std::string, QualityFigures> QualityMeter::Figures() const {
  std::map<std::string, QualityFigures> figures;
  for (size_t i = 0; i < examples_.size(); ++i) {
    const QualityExample& example = examples_[i];
    bool exact = true;
    double logprob = 0.0, divergence = 0.0, worst = 0.0;
    int64_t agree = 0;
    for (size_t j = 0; j < positions_[i].size(); ++j) {
      const Position& at = positions_[i][j];
      GH_CHECK_GE(at.best, 0);
      exact = exact && at.best == example.tokens[example.begin + j];
      logprob += at.expected;
      divergence += at.divergence;
      worst = std::max(worst, at.divergence);
      agree += reference_ == nullptr || reference_->positions_[i][j].best == at.best ? 1 : 0;
    }
    for (const std::string& group : {example.group, std::string()}) {
      QualityFigures& sum = figures[group];
      sum.examples += 1;
      sum.positions += static_cast<int64_t>(positions_[i].size());
      sum.perplexity -= logprob;
      sum.divergence += divergence;
      sum.worst = std::max(sum.worst, worst);
      sum.agreement += static_cast<double>(agree);
      sum.accuracy += exact ? 1.0 : 0.0;
      if (example.group.empty()) break;
    }
  }
  for (auto& [group, sum] : figures) {
    const auto positions = static_cast<double>(sum.positions);
    sum.perplexity = std::exp(sum.perplexity / positions);
    sum.divergence /= positions;
    sum.agreement /= positions;
    sum.accuracy /= static_cast<double>(sum.examples);
  }
  return figures;
}

}  // namespace guildhall
