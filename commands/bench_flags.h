// Flags that the benchmarks share.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "kernels/make_backend.h"
#include "weights/weight_formats.h"

namespace CLI {
class App;
}

namespace guildhall {

// --shape and --layers.
void AddShapeFlags(CLI::App& command, std::string& shape, int& layers);
// --device, --threads, --pin and --isa.
void AddBackendFlags(CLI::App& command, BackendOptions& backend);
// --weights (or --format): "int8", or "experts=int4,attention=int8".
void AddWeightsFlag(CLI::App& command, WeightFormats& formats);
// --rounds and --seconds.
void AddRoundFlags(CLI::App& command, int& rounds, double& seconds);

// Writes `text` to `path`, "-" being standard output. INTERNAL with the path when it cannot be written.
absl::Status WriteTextFile(const std::string& path, const std::string& text);

}  // namespace guildhall
