#include "kernels/cpu/available_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/str_cat.h"

namespace guildhall {
namespace {

// The number at the start of a file or behind `key` on one of its lines; nothing for "max" or a missing file.
std::optional<uint64_t> ReadNumber(const std::string& path, std::string_view key = {}) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    std::string_view rest(line);
    rest.remove_prefix(key.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    uint64_t value = 0;
    if (std::from_chars(rest.data(), rest.data() + rest.size(), value).ec == std::errc()) return value;
    return std::nullopt;
  }
  return std::nullopt;
}

struct GroupFiles {
  const char* limit;
  const char* usage;
  const char* droppable;  // key in memory.stat
};
constexpr GroupFiles kVersion2 = {"/memory.max", "/memory.current", "inactive_file "};
constexpr GroupFiles kVersion1 = {"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file "};

// What is left under the limit of one group. Pages of files that nobody used lately are given back on demand.
std::optional<uint64_t> LeftIn(const std::string& folder, const GroupFiles& files) {
  const std::optional<uint64_t> limit = ReadNumber(folder + files.limit);
  const std::optional<uint64_t> usage = ReadNumber(folder + files.usage);
  if (!limit || !usage) return std::nullopt;
  const uint64_t droppable = ReadNumber(folder + "/memory.stat", files.droppable).value_or(0);
  const uint64_t used = *usage - std::min(*usage, droppable);
  return *limit - std::min(*limit, used);
}

// The group's own limit and those of all above it; a container may see its own group as the root.
void LowerToGroups(const std::string& base, std::string path, const GroupFiles& files,
                   AvailableMemory& memory) {
  while (true) {
    if (const std::optional<uint64_t> left = LeftIn(base + path, files); left && *left < memory.bytes) {
      memory = {.bytes = *left,
                .source = StrCat("memory limit of control group ", path.empty() ? "/" : path)};
    }
    if (path.empty()) return;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

}  // namespace

absl::StatusOr<AvailableMemory> ReadAvailableMemory(const std::string& root) {
  const std::optional<uint64_t> kib = ReadNumber(root + "proc/meminfo", "MemAvailable:");
  if (!kib) {
    return absl::UnavailableError(
        StrCat(root, "proc/meminfo has no MemAvailable; state the KV budget in bytes, such as \"4GiB\""));
  }
  AvailableMemory memory{.bytes = *kib * 1024, .source = "MemAvailable"};
  std::ifstream file(root + "proc/self/cgroup");
  // Each line is "ID:CONTROLLERS:PATH"; version 2 has no controllers.
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") LowerToGroups(root + "sys/fs/cgroup", path, kVersion2, memory);
    if (controllers.find(",memory,") != std::string::npos) {
      LowerToGroups(root + "sys/fs/cgroup/memory", path, kVersion1, memory);
    }
  }
  return memory;
}

}  // namespace guildhall
