#include "base/cpu_quota.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace guildhall {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<int> CpusOf(std::string_view quota, std::string_view period) {
  int64_t quota_us = 0;
  int64_t period_us = 0;
  if (!absl::SimpleAtoi(absl::string_view(quota.data(), quota.size()), &quota_us) || quota_us <= 0) return {};
  if (!absl::SimpleAtoi(absl::string_view(period.data(), period.size()), &period_us) || period_us <= 0)
    return {};
  const int64_t cpus = quota_us / period_us + (quota_us % period_us != 0);
  return static_cast<int>(std::min<int64_t>(cpus, 1 << 20));
}

// cpu.max holds "QUOTA PERIOD", or "max PERIOD".
std::optional<int> QuotaV2(const std::string& folder) {
  const std::vector<std::string> words = absl::StrSplit(FirstLine(folder + "/cpu.max"), ' ');
  if (words.size() != 2) return {};
  return CpusOf(words[0], words[1]);
}

std::optional<int> QuotaV1(const std::string& folder) {
  return CpusOf(FirstLine(folder + "/cpu.cfs_quota_us"), FirstLine(folder + "/cpu.cfs_period_us"));
}

std::optional<int> Smaller(std::optional<int> a, std::optional<int> b) {
  if (!a) return b;
  return b ? std::min(*a, *b) : a;
}

// A container may see its own group as the root, so every
// folder from `path` upward is asked, `base` included.
template <typename Quota>
std::optional<int> SmallestUpward(const std::string& base, std::string path, Quota quota) {
  std::optional<int> smallest;
  while (path.size() > 1) {
    smallest = Smaller(smallest, quota(base + path));
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  return Smaller(smallest, quota(base));
}

}  // namespace

std::optional<int> CpuQuota(const std::string& membership, const std::string& root) {
  std::optional<int> smallest;
  std::ifstream file(membership);
  // Each line is "ID:CONTROLLERS:PATH"; version 2 has id 0 and no controllers.
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[1].empty()) smallest = Smaller(smallest, SmallestUpward(root, parts[2], QuotaV2));
    for (const auto& controller : absl::StrSplit(parts[1], ',')) {
      if (controller != "cpu") continue;
      smallest = Smaller(smallest, SmallestUpward(root + "/cpu", parts[2], QuotaV1));
      smallest = Smaller(smallest, SmallestUpward(root + "/cpu,cpuacct", parts[2], QuotaV1));
    }
  }
  return smallest;
}

}  // namespace guildhall
