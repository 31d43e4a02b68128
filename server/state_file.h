// What was changed at run time, kept over a restart: adapters and tasks on top of the configuration file.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "config/server_config.h"

namespace guildhall {

// By name; no value: it was in the configuration and was taken away.
struct RunTimeState {
  std::map<std::string, std::optional<AdapterConfig>> adapters;
  std::map<std::string, std::optional<TaskConfig>> tasks;
};

// JSON with a version. Nothing where there is no such file. INVALID_ARGUMENT names the file, the place in it
// and the cure: a file that cannot be read in full is not used in part.
absl::StatusOr<RunTimeState> ReadStateFile(const std::string& path);

// Atomically: readers and a crash see the old or the new content, whole; only the owner may read it.
// With the path and why it cannot be written: RESOURCE_EXHAUSTED where the disk is full, else
// FAILED_PRECONDITION.
absl::Status WriteStateFile(const std::string& path, const RunTimeState& state);

}  // namespace guildhall
