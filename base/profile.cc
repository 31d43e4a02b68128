#include "base/profile.h"

#include <algorithm>
#include <cstdio>

namespace guildhall {
namespace {

double Ratio(double part, double whole) {
  return whole > 0.0 ? part / whole : 0.0;
}

// Without loops the caller alone works.
double BusyNs(const ProfileEntry& entry) {
  return static_cast<double>(entry.ns - entry.loop_ns + entry.busy_ns);
}

double IdleShare(const ProfileEntry& entry, int threads) {
  return std::max(0.0, 1.0 - Ratio(BusyNs(entry), static_cast<double>(entry.ns) * threads));
}

double SerialShare(const ProfileEntry& entry) {
  return Ratio(static_cast<double>(entry.ns - entry.loop_ns), static_cast<double>(entry.ns));
}

// Called entries, the longest first, the sum of all, and the rest.
struct Rows {
  std::vector<ProfileEntry> entries;
  ProfileEntry sum, rest;
};

Rows RowsOf(const Profile& profile, int64_t wall_ns, std::string_view rest) {
  Rows rows;
  rows.sum.name = "all of these";
  for (const ProfileEntry& entry : profile.entries()) {
    if (entry.calls == 0) continue;
    rows.entries.push_back(entry);
    rows.sum.calls += entry.calls;
    rows.sum.ns += entry.ns;
    rows.sum.loops += entry.loops;
    rows.sum.loop_ns += entry.loop_ns;
    rows.sum.busy_ns += entry.busy_ns;
    rows.sum.bytes += entry.bytes;
    rows.sum.flops += entry.flops;
  }
  std::stable_sort(rows.entries.begin(), rows.entries.end(),
                   [](const ProfileEntry& a, const ProfileEntry& b) { return a.ns > b.ns; });
  rows.rest.name = rest;
  rows.rest.ns = std::max<int64_t>(0, wall_ns - rows.sum.ns);
  return rows;
}

std::string Line(const ProfileEntry& entry, int threads, int64_t wall_ns) {
  char line[192];
  const auto ns = static_cast<double>(entry.ns);
  const auto calls = static_cast<double>(std::max<int64_t>(1, entry.calls));
  std::snprintf(line, sizeof(line), "%-16s %8lld %10.3f %7.1f%% %9.2f %9.1f %9.1f %6.1f %7.1f%% %6.1f%%\n",
                entry.name.c_str(), static_cast<long long>(entry.calls), ns * 1e-6,
                100.0 * Ratio(ns, static_cast<double>(wall_ns)), ns / calls * 1e-3, Ratio(entry.bytes, ns),
                Ratio(entry.flops, ns), static_cast<double>(entry.loops) / calls, 100.0 * SerialShare(entry),
                100.0 * IdleShare(entry, threads));
  return line;
}

Json LineJson(const ProfileEntry& entry, int threads, int64_t wall_ns) {
  const auto ns = static_cast<double>(entry.ns);
  return {{"name", entry.name},
          {"calls", entry.calls},
          {"ms", ns * 1e-6},
          {"share", Ratio(ns, static_cast<double>(wall_ns))},
          {"gb_per_second", Ratio(entry.bytes, ns)},
          {"gflop_per_second", Ratio(entry.flops, ns)},
          {"loops", entry.loops},
          {"serial", SerialShare(entry)},
          {"idle", IdleShare(entry, threads)}};
}

}  // namespace

int Profile::Name(std::string_view name) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) return static_cast<int>(i);
  }
  entries_.emplace_back().name = name;
  return static_cast<int>(entries_.size()) - 1;
}

int64_t Profile::TotalNs() const {
  int64_t sum = 0;
  for (const ProfileEntry& entry : entries_) sum += entry.ns;
  return sum;
}

void Profile::Reset() {
  for (ProfileEntry& entry : entries_) entry = ProfileEntry{.name = std::move(entry.name)};
}

std::string ProfileText(const Profile& profile, int threads, int64_t wall_ns, std::string_view rest) {
  const Rows rows = RowsOf(profile, wall_ns, rest);
  std::string text =
      "                    calls         ms    share   us/call      GB/s   GFLOP/s  loops   serial    idle\n";
  for (const ProfileEntry& entry : rows.entries) text += Line(entry, threads, wall_ns);
  return text + Line(rows.sum, threads, wall_ns) + Line(rows.rest, threads, wall_ns);
}

Json ProfileJson(const Profile& profile, int threads, int64_t wall_ns, std::string_view rest) {
  const Rows rows = RowsOf(profile, wall_ns, rest);
  Json entries = Json::array();
  for (const ProfileEntry& entry : rows.entries) entries.push_back(LineJson(entry, threads, wall_ns));
  return {{"threads", threads},
          {"wall_ms", static_cast<double>(wall_ns) * 1e-6},
          {"entries", entries},
          {"all", LineJson(rows.sum, threads, wall_ns)},
          {"rest", LineJson(rows.rest, threads, wall_ns)}};
}

}  // namespace guildhall
