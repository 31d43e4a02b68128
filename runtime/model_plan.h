// What a load would do with a folder's files, worked out before it is done: formats, layout, memory.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base_model.h"
#include "runtime/model_files.h"

namespace guildhall {

// Of the decoder that would be loaded; without its KV blocks.
DecoderOptions DecoderOptionsOf(const BaseModelOptions& options, const ModelFiles& files);

// INVALID_ARGUMENT naming an amount of memory that cannot be read.
absl::Status CheckAmounts(const BaseModelOptions& options);

// As CheckAmounts. FAILED_PRECONDITION: options that the folder
// cannot serve: formats other than its own, a mapping of what is not packed.
absl::Status CheckOptions(const BaseModelOptions& options, const ModelFiles& files);

// The arithmetic over `available`. Errors as CheckLayouts and PlanKvBudget.
absl::StatusOr<MemoryUse> PlanMemory(const BaseModelOptions& options, const ModelFiles& files,
                                     Backend& backend, AvailableMemory available);

// What LoadBaseModel() would refuse, as far as it can be told without a byte of weights read and on a machine
// with any memory. `unchecked` gets a line for each thing that only the serving machine can tell.
absl::Status CheckBaseModel(const BaseModelOptions& options, const ModelFiles& files,
                            std::vector<std::string>& unchecked);

}  // namespace guildhall
