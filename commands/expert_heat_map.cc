#include "commands/expert_heat_map.h"

#include <algorithm>
#include <cstdio>

#include "bench/svg.h"

namespace guildhall {
namespace {

constexpr double kLeft = 64, kTop = 56, kRight = 16, kBottom = 44;
constexpr Svg::TextStyle kLabel{.size = 11};
constexpr Svg::TextStyle kRowLabel{.size = 11, .anchor = Svg::Anchor::kEnd};
constexpr Svg::TextStyle kColumnLabel{.size = 11, .anchor = Svg::Anchor::kMiddle};

template <typename... Values>
std::string Format(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof(text), format, values...);
  return text;
}

// From paper to deep blue; light and dark stay apart in grey too.
std::string Colour(double share) {
  const auto mix = [&](int from, int to) { return static_cast<int>(from + (to - from) * share); };
  return Format("#%02x%02x%02x", mix(247, 8), mix(251, 48), mix(255, 107));
}

double CellSize(size_t experts) {
  return experts > 96 ? 8 : experts > 32 ? 14 : 22;
}

const std::vector<double>& ScoresOf(const LayerRelevance& layer, RelevanceScore score) {
  return score == RelevanceScore::kGate ? layer.gate : layer.token;
}

// One layer's row of cells, scores as shares of `highest`, the chosen experts framed.
void DrawLayer(Svg& svg, const LayerRelevance& layer, const std::vector<double>& scores, double highest,
               const std::vector<int>& chosen, double top, double cell) {
  svg.Text(kLeft - 8, top + cell - 3, Format("layer %d", layer.layer), kRowLabel);
  for (size_t e = 0; e < scores.size(); ++e) {
    const bool framed = std::count(chosen.begin(), chosen.end(), static_cast<int>(e)) > 0;
    svg.Frame(kLeft + static_cast<double>(e) * cell + 1, top + 1, cell - 2, cell - 2,
              Colour(highest > 0 ? scores[e] / highest : 0), framed ? "#d62728" : "#dddddd",
              framed ? 2.0 : 0.5, Format("layer %d, expert %zu: %.4f", layer.layer, e, scores[e]));
  }
}

}  // namespace

std::string ExpertHeatMap(const ExpertRelevance& relevance, RelevanceScore score,
                          const std::map<int, std::vector<int>>& chosen, const std::string& title) {
  const size_t experts = relevance.layers.empty() ? 0 : relevance.layers.front().gate.size();
  double highest = 0.0;
  for (const LayerRelevance& layer : relevance.layers) {
    for (const double value : ScoresOf(layer, score)) highest = std::max(highest, value);
  }
  const double cell = CellSize(experts);
  const double width = std::max(420.0, kLeft + static_cast<double>(experts) * cell + kRight);
  const double bottom = kTop + static_cast<double>(relevance.layers.size()) * cell;
  Svg svg(width, bottom + kBottom);
  svg.Text(12, 20, title, {.size = 14});
  svg.Text(12, 38,
           Format("%s, 0 to %.3f; framed: chosen; %lld tokens",
                  score == RelevanceScore::kGate ? "mean gate weight" : "share of selections", highest,
                  static_cast<long long>(relevance.tokens)),
           kLabel);
  for (size_t i = 0; i < relevance.layers.size(); ++i) {
    const LayerRelevance& layer = relevance.layers[i];
    const auto found = chosen.find(layer.layer);
    DrawLayer(svg, layer, ScoresOf(layer, score), highest,
              found == chosen.end() ? std::vector<int>() : found->second,
              kTop + static_cast<double>(i) * cell, cell);
  }
  const size_t every = experts > 32 ? 8 : experts > 16 ? 4 : 1;
  for (size_t e = 0; e < experts; e += every) {
    svg.Text(kLeft + (static_cast<double>(e) + 0.5) * cell, bottom + 16, std::to_string(e), kColumnLabel);
  }
  svg.Text(kLeft, bottom + 34, "expert", kLabel);
  return svg.Finish();
}

}  // namespace guildhall
