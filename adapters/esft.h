// ESFT folders: whole experts replaced (expert_cfg.json, or derived from the tensors).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "adapters/adapter_files.h"
#include "adapters/adapter_folder.h"
#include "checkpoint/weight_source.h"
#include "weights/adapter_source.h"

namespace guildhall {

// `files` is a listed folder of which nothing has been opened yet. Errors as OpenAdapterFolder's.
absl::StatusOr<std::unique_ptr<AdapterSource>> OpenEsft(std::unique_ptr<AdapterFiles> files,
                                                        const WeightSource& base,
                                                        const AdapterFolderOptions& options);

}  // namespace guildhall
