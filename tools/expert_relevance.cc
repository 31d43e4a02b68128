#include "tools/expert_relevance.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

// Of sums of scores that should be p.
constexpr double kRounding = 1e-9;

// The arrays of one step over one sequence, whose blocks are 0, 1, 2, ...
class OneSequence {
 public:
  explicit OneSequence(int64_t blocks) : block_table_(static_cast<size_t>(blocks)) {
    std::iota(block_table_.begin(), block_table_.end(), 0);
  }

  Batch Chunk(std::span<const int32_t> tokens, int64_t begin, int64_t count) {
    const auto rows = static_cast<size_t>(count);
    positions_.resize(rows);
    std::iota(positions_.begin(), positions_.end(), static_cast<int32_t>(begin));
    kv_place_.assign(positions_.begin(), positions_.end());
    sequence_.assign(rows, 0);
    Batch batch;
    batch.tokens = tokens.subspan(static_cast<size_t>(begin), rows);
    batch.positions = positions_;
    batch.sequence = sequence_;
    batch.kv_place = kv_place_;
    batch.block_table = block_table_;
    batch.max_blocks = static_cast<int64_t>(block_table_.size());
    return batch;
  }

 private:
  std::vector<int32_t> block_table_, positions_, sequence_;
  std::vector<int64_t> kv_place_;
};

void Count(const StepOutput::Routes& routes, LayerRelevance& sums) {
  for (size_t i = 0; i < routes.experts.size(); ++i) {
    const int32_t expert = routes.experts[i];
    if (expert < 0) continue;
    sums.gate[static_cast<size_t>(expert)] += static_cast<double>(routes.weights[i]);
    sums.token[static_cast<size_t>(expert)] += 1.0;
  }
}

}  // namespace

absl::StatusOr<ExpertRelevance> MeasureExperts(Decoder& decoder,
                                               std::span<const std::vector<int32_t>> sequences,
                                               const std::function<void(int64_t)>& progress) {
  const ModelSpec& spec = decoder.spec();
  const auto experts = static_cast<size_t>(spec.gate.experts);
  ExpertRelevance relevance;
  std::map<int, LayerRelevance> layers;
  for (size_t l = 0; l < spec.layers.size(); ++l) {
    const int layer = static_cast<int>(l);
    if (spec.layers[l].moe)
      layers[layer] = {layer, std::vector<double>(experts), std::vector<double>(experts)};
  }
  OneSequence arrays(decoder.kv_blocks());
  for (const std::vector<int32_t>& tokens : sequences) {
    const auto length = static_cast<int64_t>(tokens.size());
    GH_CHECK_LE(length, decoder.kv_blocks() * kKvBlockTokens);
    for (int64_t begin = 0; begin < length; begin += decoder.max_rows()) {
      Batch batch = arrays.Chunk(tokens, begin, std::min(decoder.max_rows(), length - begin));
      batch.observe_routes = true;
      GH_ASSIGN_OR_RETURN(const StepOutput output, RunStep(decoder, batch));
      for (const StepOutput::Routes& routes : output.routes) Count(routes, layers.at(routes.layer));
    }
    relevance.tokens += length;
    if (progress) progress(relevance.tokens);
  }
  for (auto& [layer, sums] : layers) {
    const double tokens = std::max<double>(1.0, static_cast<double>(relevance.tokens));
    for (double& value : sums.gate) value /= tokens;
    for (double& value : sums.token) value /= tokens * spec.gate.k;
    relevance.layers.push_back(std::move(sums));
  }
  return relevance;
}

std::map<int, std::vector<int>> ChooseExperts(const ExpertRelevance& relevance, RelevanceScore score,
                                              double p) {
  std::map<int, std::vector<int>> chosen;
  for (const LayerRelevance& layer : relevance.layers) {
    const std::vector<double>& scores = score == RelevanceScore::kGate ? layer.gate : layer.token;
    std::vector<int> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
    });
    std::vector<int>& ids = chosen[layer.layer];
    double sum = 0.0;
    for (const int expert : order) {
      const double score_of = scores[static_cast<size_t>(expert)];
      if (!ids.empty() && (sum >= p - kRounding || score_of == 0.0)) break;
      ids.push_back(expert);
      sum += score_of;
    }
    std::sort(ids.begin(), ids.end());
  }
  return chosen;
}

}  // namespace guildhall
