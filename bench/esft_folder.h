// Writes an adapter as an ESFT folder, so that its load from files can be timed.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "checkpoint/model_spec.h"
#include "weights/adapter_source.h"

namespace guildhall {

// expert_cfg.json and one safetensors file with every replaced expert of `source`. PERMISSION_DENIED or what
// SafetensorsWriter says when the folder cannot be written, or has such a file already.
absl::Status WriteEsftFolder(const ModelSpec& spec, const AdapterSource& source,
                             const std::string& directory);

}  // namespace guildhall
