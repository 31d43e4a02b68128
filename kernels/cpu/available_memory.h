// What the system can still give to this process.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kernels/device_memory.h"

namespace guildhall {

// Reads `root` + "proc/meminfo", and the limits of the process's control groups (versions 2 and 1) minus what
// is used there without file pages that can be dropped. UNAVAILABLE where there is no MemAvailable. Tests
// give a folder of their own as `root`, which ends in "/".
absl::StatusOr<AvailableMemory> ReadAvailableMemory(const std::string& root = "/");

}  // namespace guildhall
