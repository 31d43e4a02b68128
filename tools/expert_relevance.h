// How much each expert matters for a text: the two relevance scores by which expert-specialised fine-tuning
// chooses.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "model/decoder.h"

namespace guildhall {

// One layer with routed experts.
struct LayerRelevance {
  int layer = 0;
  std::vector<double> gate;   // (experts) mean gate weight over all tokens, 0 where not selected
  std::vector<double> token;  // (experts) share of the selections: sums to 1
};

struct ExpertRelevance {
  int64_t tokens = 0;
  std::vector<LayerRelevance> layers;
};

// Runs each sequence through the decoder by itself (its KV cache must hold the longest) and counts.
// `progress` (may be empty) gets the tokens done. Errors are the device's.
absl::StatusOr<ExpertRelevance> MeasureExperts(Decoder& decoder,
                                               std::span<const std::vector<int32_t>> sequences,
                                               const std::function<void(int64_t)>& progress = {});

enum class RelevanceScore { kGate, kToken };

// Per layer the experts of the highest relevance, until their scores add up to p in (0, 1], as in the paper;
// ascending ids. Ties: the lower id first. A router that does not normalise has gate scores that add up to
// less than 1: where all of them stay below p, every expert that has a score is chosen.
std::map<int, std::vector<int>> ChooseExperts(const ExpertRelevance& relevance, RelevanceScore score,
                                              double p);

}  // namespace guildhall
