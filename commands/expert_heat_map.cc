#include "commands/expert_heat_map.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace guildhall {
namespace {

constexpr int kLeft = 64, kTop = 56, kRight = 16, kBottom = 44;

[[gnu::format(printf, 2, 3)]] void Append(std::string& text, const char* format, ...) {
  char buffer[512];
  va_list args;
  va_start(args, format);
  const int length = std::vsnprintf(buffer, sizeof(buffer), format, args);
  va_end(args);
  text.append(buffer, static_cast<size_t>(std::clamp(length, 0, static_cast<int>(sizeof(buffer)) - 1)));
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

// From paper to deep blue; light and dark stay apart in grey too.
std::string Colour(double share) {
  const auto mix = [&](int from, int to) { return static_cast<int>(from + (to - from) * share); };
  char text[8];
  std::snprintf(text, sizeof(text), "#%02x%02x%02x", mix(247, 8), mix(251, 48), mix(255, 107));
  return text;
}

}  // namespace

std::string ExpertHeatMap(const ExpertRelevance& relevance, RelevanceScore score,
                          const std::map<int, std::vector<int>>& chosen, const std::string& title) {
  const auto scores_of = [&](const LayerRelevance& layer) -> const std::vector<double>& {
    return score == RelevanceScore::kGate ? layer.gate : layer.token;
  };
  const size_t experts = relevance.layers.empty() ? 0 : relevance.layers.front().gate.size();
  double highest = 0.0;
  for (const LayerRelevance& layer : relevance.layers) {
    for (const double value : scores_of(layer)) highest = std::max(highest, value);
  }
  const int cell = experts > 96 ? 8 : experts > 32 ? 14 : 22;
  const int width = std::max(420, kLeft + static_cast<int>(experts) * cell + kRight);
  const int height = kTop + static_cast<int>(relevance.layers.size()) * cell + kBottom;
  const char* name = score == RelevanceScore::kGate ? "mean gate weight" : "share of selections";

  std::string svg;
  Append(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" ",
         width, height, width, height);
  svg +=
      "font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"#fff\"/>\n";
  svg += "<text x=\"12\" y=\"20\" font-size=\"14\">" + Escaped(title) + "</text>\n";
  Append(svg, "<text x=\"12\" y=\"38\">%s, 0 to %.3f; framed: chosen; %lld tokens</text>\n", name, highest,
         static_cast<long long>(relevance.tokens));
  for (size_t i = 0; i < relevance.layers.size(); ++i) {
    const LayerRelevance& layer = relevance.layers[i];
    const int y = kTop + static_cast<int>(i) * cell;
    Append(svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">layer %d</text>\n", kLeft - 8, y + cell - 3,
           layer.layer);
    const auto found = chosen.find(layer.layer);
    for (size_t e = 0; e < experts; ++e) {
      const double value = scores_of(layer)[e];
      const bool framed = found != chosen.end() &&
                          std::count(found->second.begin(), found->second.end(), static_cast<int>(e)) > 0;
      Append(
          svg,
          "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\" stroke=\"%s\" stroke-width=\"%s\">",
          kLeft + static_cast<int>(e) * cell + 1, y + 1, cell - 2, cell - 2,
          Colour(highest > 0 ? value / highest : 0).c_str(), framed ? "#d62728" : "#ddd",
          framed ? "2" : "0.5");
      Append(svg, "<title>layer %d, expert %zu: %.4f</title></rect>\n", layer.layer, e, value);
    }
  }
  const int below = height - kBottom + 16;
  for (size_t e = 0; e<experts; e += experts> 32 ? 8 : experts > 16 ? 4 : 1) {
    Append(svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%zu</text>\n",
           kLeft + static_cast<int>(e) * cell + cell / 2, below, e);
  }
  Append(svg, "<text x=\"%d\" y=\"%d\">expert</text>\n</svg>\n", kLeft, below + 18);
  return svg;
}

}  // namespace guildhall
