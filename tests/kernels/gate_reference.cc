#include "tests/kernels/gate_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace guildhall {
namespace {

std::vector<double> Softmax(std::vector<double> values) {
  const double max = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) sum += value = std::exp(value - max);
  for (double& value : values) value /= sum;
  return values;
}

// Ids by descending key, the lower id first among equals; `gap` becomes the least distance among the first k
// + 1.
std::vector<int32_t> Order(const std::vector<double>& keys, int64_t k, double& gap) {
  std::vector<int32_t> ids(keys.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto key = [&](int32_t id) { return keys[static_cast<size_t>(id)]; };
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return key(a) > key(b); });
  for (int64_t j = 0; j < k && j + 1 < static_cast<int64_t>(ids.size()); ++j) {
    gap = std::min(gap, key(ids[static_cast<size_t>(j)]) - key(ids[static_cast<size_t>(j + 1)]));
  }
  ids.resize(static_cast<size_t>(k));
  return ids;
}

}  // namespace

GateChoice ReferenceGate(const GateSpec& gate, const std::vector<float>& logits,
                         const std::vector<float>& bias) {
  GateChoice choice;
  choice.gap = 1e300;
  std::vector<double> scores(logits.begin(), logits.end());
  if (gate.activation == GateSpec::Activation::kSoftmaxAll) scores = Softmax(scores);
  if (gate.activation == GateSpec::Activation::kSigmoid) {
    for (double& score : scores) score = 1 / (1 + std::exp(-score));
  }

  std::vector<double> keys = scores;
  for (size_t i = 0; i < bias.size(); ++i) keys[i] += bias[i];
  if (gate.selection == GateSpec::Selection::kGroupLimitedTopK) {
    const int size = gate.experts / gate.groups;
    std::vector<double> ranks;
    for (int g = 0; g < gate.groups; ++g) {
      std::vector<double> group(keys.begin() + g * size, keys.begin() + (g + 1) * size);
      std::sort(group.rbegin(), group.rend());
      ranks.push_back(gate.group_score == GateSpec::GroupScore::kMax ? group[0] : group[0] + group[1]);
    }
    std::vector<bool> kept(static_cast<size_t>(gate.groups));
    for (int32_t g : Order(ranks, gate.groups_kept, choice.gap)) kept[static_cast<size_t>(g)] = true;
    for (int i = 0; i < gate.experts; ++i) {
      if (!kept[static_cast<size_t>(i / size)]) keys[static_cast<size_t>(i)] = -1e300;
    }
  }
  choice.expert = Order(keys, gate.k, choice.gap);

  for (int32_t id : choice.expert) choice.weight.push_back(scores[static_cast<size_t>(id)]);
  if (gate.activation == GateSpec::Activation::kSoftmaxSelected) choice.weight = Softmax(choice.weight);
  if (gate.normalize) {
    const double sum = std::accumulate(choice.weight.begin(), choice.weight.end(), 0.0) + gate.epsilon;
    for (double& weight : choice.weight) weight /= sum;
  }
  for (double& weight : choice.weight) weight *= gate.scale;
  return choice;
}

}  // namespace guildhall
