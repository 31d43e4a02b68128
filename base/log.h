// Logging: spdlog behind one set-up call. Use SPDLOG-style
// calls on Log(): Log().info("loaded {} tensors", n).
#pragma once

#include <spdlog/spdlog.h>

#include <string>

#include "absl/status/status.h"

namespace guildhall {

enum class LogFormat { kText, kJson };

// Sets the process-wide logger (stderr). Level: trace, debug,
// info, warn, error, off. Before it, warnings go to stderr.
absl::Status SetUpLog(const std::string& level, LogFormat format);

// Thread-safe; never null.
spdlog::logger& Log();

}  // namespace guildhall
