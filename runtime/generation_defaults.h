// generation_config.json of the model folder as one level of sampling defaults.
#pragma once

#include "absl/status/statusor.h"
#include "checkpoint/generation_config.h"
#include "engine/sampling_fields.h"

namespace guildhall {

// As transformers would generate: where the file has a say in sampling and do_sample is not true, greedily,
// that is at temperature 0. A file without any such key leaves the choice to the next level. INVALID_ARGUMENT
// names the key whose value is out of the range that is served.
absl::StatusOr<PartialSampling> GenerationDefaults(const GenerationConfig& config);

}  // namespace guildhall
