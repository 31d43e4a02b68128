// config.json -> ModelSpec.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/families/family.h"
#include "checkpoint/model_spec.h"
#include "checkpoint/options.h"
#include "checkpoint/problems.h"

namespace guildhall {

struct HfConfig {
  ModelSpec spec;
  const Family* family = nullptr;  // nullptr: not one of ours; the spec then holds the shared sizes alone
  bool dtype_declared = false;
  int extra_layers = 0;  // layers after the last one whose tensors are skipped (prediction of several tokens)
  std::vector<std::string> notes;  // what a person should know and nothing refuses
};

// Pure, and total: whatever is wrong becomes a problem, and the rest is read
// on. The spec may be used only if no problem was added. Allocates nothing
// in proportion to a stated size but one LayerSpec per layer (at most 4096).
HfConfig ReadHfConfig(const Json& json, const CheckpointOptions& options, Problems& problems);

// A token id, a list of them, or null; ids outside the vocabulary are dropped (nothing can generate them),
// with a note.
std::vector<int32_t> ReadTokenIds(const JsonObject& object, std::string_view key, int64_t vocabulary,
                                  Problems& problems, std::vector<std::string>& notes);

}  // namespace guildhall
