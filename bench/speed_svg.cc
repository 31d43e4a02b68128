// SpeedTableSvg of bench/speed_report.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "bench/speed_report.h"
#include "bench/statistics.h"
#include "bench/svg.h"

namespace guildhall {
namespace {

constexpr double kWidth = 1120.0, kMargin = 24.0;
constexpr double kPanelHeight = 300.0, kPlotHeight = 200.0, kAxisWidth = 34.0;
constexpr double kRowHeight = 22.0;
constexpr std::array<const char*, 6> kColours = {"#3b6ea5", "#e08a2e", "#4f9d69",
                                                 "#a05195", "#7a7a7a", "#c44e52"};
constexpr const char *kInk = "#222222", *kSoft = "#777777", *kGrid = "#e4e4e4", *kMarkColour = "#111111";
constexpr const char *kGood = "#2e7d4f", *kBad = "#b3392f";

using Anchor = Svg::Anchor;

std::string Number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}
std::string Rate(double value) {
  return Number(value, value < 99.5 ? 1 : 0);
}

// One shape at one level.
struct Panel {
  std::string title;
  std::vector<const SpeedEntry*> entries;
};

std::vector<Panel> PanelsOf(const SpeedTable& table) {
  std::vector<Panel> panels;
  for (const SpeedEntry& entry : table.entries) {
    const std::string title = entry.shape + ", " + std::to_string(entry.layers) + " layers, " + entry.isa;
    const auto found =
        std::find_if(panels.begin(), panels.end(), [&](const Panel& p) { return p.title == title; });
    Panel& panel = found == panels.end() ? panels.emplace_back(Panel{title, {}}) : *found;
    panel.entries.push_back(&entry);
  }
  return panels;
}

template <typename Key>
std::vector<std::string> Distinct(const std::vector<const SpeedEntry*>& entries, Key key) {
  std::vector<std::string> names;
  for (const SpeedEntry* entry : entries) {
    const std::string name = key(*entry);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string CaseName(const SpeedEntry& entry) {
  return std::string(KindName(entry.figures.bench_case)) + " " +
         std::to_string(entry.figures.bench_case.rows);
}
std::string FormatName(const SpeedEntry& entry) {
  return entry.format;
}
size_t IndexOf(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

class Picture {
 public:
  explicit Picture(const SpeedTable& table)
      : table_(table), panels_(PanelsOf(table)), svg_(kWidth, Height()) {
    std::vector<const SpeedEntry*> all;
    for (const SpeedEntry& entry : table.entries) all.push_back(&entry);
    formats_ = Distinct(all, FormatName);
  }

  std::string Draw() {
    double y = DrawHead();
    const double width = (kWidth - 3.0 * kMargin) / 2.0;
    for (size_t i = 0; i < panels_.size(); ++i) {
      DrawPanel(panels_[i], i % 2 == 0 ? kMargin : 2.0 * kMargin + width, y, width);
      if (i % 2 == 1 || i + 1 == panels_.size()) y += kPanelHeight;
    }
    DrawAdapters(y);
    return svg_.Finish();
  }

 private:
  double HeadHeight() const { return 74.0 + 15.0 * static_cast<double>(table_.machines.size()); }
  double Height() const {
    const double adapters =
        table_.adapters.empty() ? 0.0 : 60.0 + kRowHeight * static_cast<double>(table_.adapters.size() + 1);
    return HeadHeight() + kPanelHeight * static_cast<double>((panels_.size() + 1) / 2) + adapters + kMargin;
  }

  double DrawHead() {
    svg_.Text(kMargin, 30, "Speed as a share of what the machine itself reached beside each run",
              {.size = 17, .bold = true});
    double y = 48;
    for (const std::string& machine : table_.machines) {
      svg_.Text(kMargin, y, machine, {.size = 11, .colour = kSoft});
      y += 15;
    }
    svg_.Text(
        kMargin, y,
        "Decode: of the lower of the bandwidth's and the arithmetic's ceiling. Prefill: of the peak of the "
        "instructions used. Whiskers: lowest and highest of " +
            std::to_string(table_.rounds) + " rounds. Below each bar: rows per second.",
        {.size = 11, .colour = kSoft});
    double x = kMargin;
    for (size_t i = 0; i < formats_.size(); ++i) {
      svg_.Rect(x, y + 9, 12, 12, kColours[i % kColours.size()]);
      svg_.Text(x + 17, y + 19, formats_[i], {.size = 12});
      x += 40.0 + 7.5 * static_cast<double>(formats_[i].size());
    }
    svg_.Line(x, y + 15, x + 18, y + 15, kMarkColour, 3);
    svg_.Text(x + 24, y + 19, "mark", {.size = 12});
    return HeadHeight();
  }

  void DrawPanel(const Panel& panel, double left, double top, double width) {
    const std::vector<std::string> cases = Distinct(panel.entries, CaseName);
    double most = 1.1;
    for (const SpeedEntry* e : panel.entries) most = std::max(most, SpreadOf(e->figures.share).high + 0.05);
    most = std::min(std::ceil(most * 5.0) / 5.0, 2.0);
    const double base = top + 34.0 + kPlotHeight, x0 = left + kAxisWidth, plot = width - kAxisWidth;
    const auto y_of = [&](double share) { return base - kPlotHeight * std::min(share, most) / most; };
    svg_.Text(left, top + 20, panel.title, {.size = 13, .bold = true});
    for (int tick = 0; tick * 0.2 <= most + 1e-9; ++tick) {
      const double y = y_of(tick * 0.2);
      svg_.Line(x0, y, x0 + plot, y, tick == 5 ? "#aaaaaa" : kGrid);
      svg_.Text(x0 - 6, y + 4, Number(tick * 0.2, 1), {.size = 10, .anchor = Anchor::kEnd, .colour = kSoft});
    }
    const double group = plot / static_cast<double>(cases.size());
    const double bar = std::min(30.0, group * 0.86 / static_cast<double>(formats_.size()));
    for (size_t c = 0; c < cases.size(); ++c) {
      svg_.Text(x0 + group * (static_cast<double>(c) + 0.5), base + 30, cases[c],
                {.size = 11, .anchor = Anchor::kMiddle});
    }
    for (const SpeedEntry* e : panel.entries) {
      const double middle = x0 + group * (static_cast<double>(IndexOf(cases, CaseName(*e))) + 0.5);
      const size_t f = IndexOf(formats_, e->format);
      DrawBar(*e, middle + bar * (static_cast<double>(f) - 0.5 * static_cast<double>(formats_.size())), bar,
              kColours[f % kColours.size()], base, y_of);
    }
  }

  template <typename YOf>
  void DrawBar(const SpeedEntry& e, double x, double width, const char* colour, double base,
               const YOf& y_of) {
    const Spread share = SpreadOf(e.figures.share);
    const double rate = Median(e.figures.rows_per_second), y = y_of(share.median), middle = x + width / 2;
    svg_.Bar(x + 1, y, width - 2, base - y, colour,
             CaseName(e) + ", " + e.format + ": " + Rate(rate) + " rows/s, share " + Number(share.median, 3));
    svg_.Line(middle, y_of(share.low), middle, y_of(share.high), "#555555", 1);
    for (const double end : {share.low, share.high}) {
      svg_.Line(middle - 3, y_of(end), middle + 3, y_of(end), "#555555", 1);
    }
    const double size = width >= 24 ? 9.0 : 7.5;
    if (e.mark.set()) svg_.Line(x, y_of(e.mark.value), x + width, y_of(e.mark.value), kMarkColour, 3);
    // Above the whisker and the mark, which would strike it out.
    svg_.Text(middle, y_of(std::max(share.high, e.mark.value)) - 4, Number(share.median, 2),
              {.size = size,
               .anchor = Anchor::kMiddle,
               .bold = true,
               .colour = !e.mark.set() ? kInk : (e.mark.Reached(share.median) ? kGood : kBad)});
    svg_.Text(middle, base + 13, Rate(rate), {.size = size, .anchor = Anchor::kMiddle, .colour = kSoft});
  }

  void DrawAdapters(double top) {
    if (table_.adapters.empty()) return;
    constexpr double kLow = 0.6, kHigh = 1.4, kLeft = 560.0, kPlot = 420.0;
    const auto x_of = [&](double ratio) {
      return kLeft + kPlot * (std::clamp(ratio, kLow, kHigh) - kLow) / (kHigh - kLow);
    };
    svg_.Text(kMargin, top + 20, "What adapters cost: ratios of two measurements that alternate",
              {.size = 13, .bold = true});
    svg_.Text(kMargin, top + 36, table_.adapters.front().model, {.size = 10, .colour = kSoft});
    const double first = top + 66,
                 last = first + kRowHeight * static_cast<double>(table_.adapters.size() - 1);
    for (int tick = 6; tick <= 14; tick += 2) {
      const double x = x_of(tick * 0.1);
      svg_.Line(x, first - 14, x, last + 10, tick == 10 ? "#aaaaaa" : kGrid);
      svg_.Text(x, first - 18, Number(tick * 0.1, 1),
                {.size = 10, .anchor = Anchor::kMiddle, .colour = kSoft});
    }
    double y = first;
    for (const AdapterEntry& entry : table_.adapters) {
      DrawAdapter(entry, y, kLeft + kPlot + 12, x_of);
      y += kRowHeight;
    }
  }

  template <typename XOf>
  void DrawAdapter(const AdapterEntry& entry, double y, double text_x, const XOf& x_of) {
    const AdapterFigure& figure = entry.figure;
    const char* colour =
        !figure.mark.set() ? kColours[0] : (figure.mark.Reached(figure.ratio.median) ? kGood : kBad);
    svg_.Text(kMargin, y + 4, figure.name + (entry.format == "bf16" ? "" : " (" + entry.format + ")"),
              {.size = 11});
    svg_.Line(x_of(figure.ratio.low), y, x_of(figure.ratio.high), y, "#999999", 2);
    if (figure.mark.set()) {
      svg_.Line(x_of(figure.mark.value), y - 7, x_of(figure.mark.value), y + 7, kMarkColour, 3);
    }
    svg_.Dot(x_of(figure.ratio.median), y, 4.5, colour, figure.what);
    svg_.Text(text_x, y + 4,
              Number(figure.ratio.median, 2) + (figure.mark.set() ? "  (" + figure.mark.Text() + ")" : ""),
              {.size = 11, .bold = figure.mark.set(), .colour = colour});
  }

  const SpeedTable& table_;
  const std::vector<Panel> panels_;
  Svg svg_;
  std::vector<std::string> formats_;
};

}  // namespace

std::string SpeedTableSvg(const SpeedTable& table) {
  return Picture(table).Draw();
}

}  // namespace guildhall
