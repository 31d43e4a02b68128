#include "bench/speed_report.h"

#include <cstdio>

#include "bench/statistics.h"

namespace guildhall {
namespace {

bool SameModelGroup(const SpeedEntry& a, const SpeedEntry& b) {
  return a.shape == b.shape && a.isa == b.isa;
}

std::string Heading(const SpeedEntry& e) {
  char line[256];
  std::snprintf(line, sizeof(line), "\n%s, %d layers, %s\n%-8s %-14s %10s  %5s %-16s  %6s %6s  %8s %8s  %s\n",
                e.shape.c_str(), e.layers, e.isa.c_str(), "format", "case", "rows/s", "share",
                "(low .. high)", "GB/s", "of", "GFLOP/s", "of", "mark");
  return line;
}

std::string Line(const SpeedEntry& e) {
  const CaseFigures& f = e.figures;
  const Spread share = SpreadOf(f.share);
  const std::string bench_case =
      std::string(KindName(f.bench_case)) + " " + std::to_string(f.bench_case.rows);
  const std::string mark =
      e.mark.set() ? "  " + e.mark.Text() + (e.mark.Reached(share.median) ? " reached" : " NOT reached") : "";
  char line[320];
  std::snprintf(line, sizeof(line),
                "%-8s %-14s %10.2f  %5.2f (%4.2f .. %4.2f)   %6.1f %6.1f  %8.1f %8.1f%s\n", e.format.c_str(),
                bench_case.c_str(), Median(f.rows_per_second), share.median, share.low, share.high,
                Median(f.gbps), Median(f.read_gbps), Median(f.gflops), Median(f.peak_gflops), mark.c_str());
  return line;
}

}  // namespace

std::string SpeedTableText(const SpeedTable& table) {
  std::string text;
  for (const std::string& machine : table.machines) text += machine + "\n";
  char line[160];
  std::snprintf(line, sizeof(line), "medians of %d rounds of %.2g s, the machine measured beside each\n",
                table.rounds, table.seconds);
  text += line;
  const SpeedEntry* before = nullptr;
  for (const SpeedEntry& entry : table.entries) {
    if (before == nullptr || !SameModelGroup(*before, entry)) text += Heading(entry);
    text += Line(entry);
    before = &entry;
  }
  for (const std::string& warning : SlowLevels(table.entries)) text += "\nWARNING: " + warning;
  if (text.back() != '\n') text += "\n";
  const AdapterEntry* adapter_before = nullptr;
  for (const AdapterEntry& entry : table.adapters) {
    if (adapter_before == nullptr || adapter_before->model != entry.model) {
      text += "\nadapters: " + entry.model + "\nratios: median (lowest .. highest)\n";
    }
    text += AdapterFigureText(entry.figure);
    adapter_before = &entry;
  }
  return text;
}

Json SpeedTableJson(const SpeedTable& table) {
  Json json{{"machines", table.machines},
            {"rounds", table.rounds},
            {"seconds", table.seconds},
            {"cases", Json::array()},
            {"warnings", SlowLevels(table.entries)},
            {"adapters", Json::array()}};
  for (const SpeedEntry& e : table.entries) {
    Json entry{{"shape", e.shape}, {"layers", e.layers}, {"isa", e.isa}, {"weights", e.format}};
    entry.update(CaseJson(e.figures));
    if (e.mark.set()) {
      entry["mark"] = e.mark.value;
      entry["reached"] = e.mark.Reached(Median(e.figures.share));
    }
    json["cases"].push_back(std::move(entry));
  }
  for (const AdapterEntry& e : table.adapters) {
    Json entry{{"model", e.model}, {"weights", e.format}};
    entry.update(AdapterFigureJson(e.figure));
    json["adapters"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace guildhall
