// The CPU share that a control group grants this process.
#pragma once

#include <optional>
#include <string>

namespace guildhall {

// The smallest quota on the way from this process's group to the root, in CPUs rounded up; nothing when none
// is set. Reads `membership` ("/proc/self/cgroup") and the files below `root` ("/sys/fs/cgroup"); versions 2
// (cpu.max) and 1 (cpu.cfs_quota_us, cpu.cfs_period_us). Files that are missing or odd count as no quota.
std::optional<int> CpuQuota(const std::string& membership, const std::string& root);

}  // namespace guildhall
