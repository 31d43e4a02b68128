#include "base/cpu_placement.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <memory>

#include "base/str_cat.h"

namespace guildhall {
namespace {

// "0-1" or "0,2-3", as ParseCpuList reads it.
std::string CpuListText(std::span<const int> cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t end = i + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    StrAppend(&text, text.empty() ? "" : ",", cpus[i]);
    if (end - i > 1) StrAppend(&text, "-", cpus[end - 1]);
    i = end;
  }
  return text;
}

// The allowed CPUs of each node that has some. CPUs that no node names make a node of their own.
std::vector<std::vector<int>> AllowedByNode(std::span<const int> allowed,
                                            const std::vector<std::vector<int>>& nodes) {
  std::vector<std::vector<int>> result(nodes.size() + 1);
  for (const int cpu : allowed) {
    const auto node = std::find_if(nodes.begin(), nodes.end(), [cpu](const std::vector<int>& cpus) {
      return std::find(cpus.begin(), cpus.end(), cpu) != cpus.end();
    });
    result[static_cast<size_t>(node - nodes.begin())].push_back(cpu);
  }
  std::erase_if(result, [](const std::vector<int>& cpus) { return cpus.empty(); });
  return result;
}

// The next CPU of each node in turn, until all are taken.
std::vector<std::vector<int>> OneEach(const std::vector<std::vector<int>>& nodes, size_t cpus) {
  std::vector<std::vector<int>> result;
  for (size_t round = 0; result.size() < cpus; ++round) {
    for (const std::vector<int>& node : nodes) {
      if (round < node.size()) result.push_back({node[round]});
    }
  }
  return result;
}

}  // namespace

std::vector<int> AffinityCpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void BindThread(std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

std::vector<int> ParseCpuList(const std::string& text) {
  constexpr int kMost = 1 << 16;
  std::vector<int> cpus;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int first = 0;
    auto [next, error] = std::from_chars(at, end, first);
    if (error != std::errc()) break;
    int last = first;
    if (next < end && *next == '-') {
      const auto range = std::from_chars(next + 1, end, last);
      if (range.ec != std::errc()) break;
      next = range.ptr;
    }
    if (first < 0 || last < first || last >= kMost) break;
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (next == end || *next != ',') break;
    at = next + 1;
  }
  return cpus;
}

std::vector<std::vector<int>> CpuNodes(const std::string& root) {
  std::map<int, std::vector<int>> nodes;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(root.c_str()), closedir);
  while (const dirent* entry = folder == nullptr ? nullptr : readdir(folder.get())) {
    const std::string name = entry->d_name;
    int node = 0;
    if (name.rfind("node", 0) != 0) continue;
    const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), node);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    std::ifstream file(StrCat(root, "/", name, "/cpulist"));
    std::string line;
    std::getline(file, line);
    if (std::vector<int> cpus = ParseCpuList(line); !cpus.empty()) nodes[node] = std::move(cpus);
  }
  std::vector<std::vector<int>> result;
  result.reserve(nodes.size());
  for (auto& [node, cpus] : nodes) result.push_back(std::move(cpus));
  if (result.empty()) result.emplace_back();
  return result;
}

CpuPlacement PlaceWorkers(int threads, std::span<const int> allowed,
                          const std::vector<std::vector<int>>& nodes) {
  const auto count = static_cast<int>(allowed.size());
  const std::vector<std::vector<int>> by_node = AllowedByNode(allowed, nodes);
  const std::string across = by_node.size() > 1 ? StrCat(" of ", by_node.size(), " memory nodes") : "";
  if (count == 0) return {{}, "not bound: the system does not say which CPUs are allowed"};
  if (threads == count) {
    return {OneEach(by_node, allowed.size()), StrCat("bound to CPUs ", CpuListText(allowed), across)};
  }
  if (threads > count) return {{}, StrCat("not bound: more threads than the ", count, " allowed CPUs")};
  if (by_node.size() == 1) return {{}, StrCat("not bound: fewer threads than the ", count, " allowed CPUs")};
  CpuPlacement placement{{}, StrCat("bound in turn to ", by_node.size(), " memory nodes")};
  for (int worker = 0; worker < threads; ++worker)
    placement.cpus.push_back(by_node[static_cast<size_t>(worker) % by_node.size()]);
  return placement;
}

}  // namespace guildhall
