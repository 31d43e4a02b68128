// Opens an adapter folder, finds out what it is, and checks it against the base model.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/weight_source.h"
#include "weights/adapter_source.h"

namespace guildhall {

struct AdapterFolderOptions {
  std::string expert_config;  // ESFT: path of an expert_cfg.json elsewhere; empty: in the folder, or derived
  std::string required_base_name;  // refuse a folder that records another base; empty: only reported
  int64_t max_rank = 0;            // 0: no cap
  // Of what is in the folder beside its weights: the manifest has them.
  std::vector<std::string> notes;
  std::shared_ptr<const AdapterCompanion> companion = nullptr;
  // Keys of its configuration that this version does not know, and the operator declares harmless.
  std::vector<std::string> ignore_config_keys;
};

// ESFT and PEFT LoRA / DoRA folders (docs/adapters.md). Only headers and configuration are
// read, but for the copies of embedding and head that PEFT may save, which are compared
// with the base's. `base` outlives the source: DoRA's norms read its weights. NOT_FOUND;
// INVALID_ARGUMENT: malformed; FAILED_PRECONDITION: well-formed and not served, or not for
// this base. The message names the file, the key or tensor, the expected, the found and the
// cure. Everything but the values themselves is checked here; each tensor is accounted for.
absl::StatusOr<std::unique_ptr<AdapterSource>> OpenAdapterFolder(const std::string& directory,
                                                                 const WeightSource& base,
                                                                 const AdapterFolderOptions& options = {});

}  // namespace guildhall
