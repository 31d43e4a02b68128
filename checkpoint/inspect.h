// `guildhall inspect`: what a model folder holds, what it would cost, and whether it is served.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/model_spec.h"
#include "checkpoint/options.h"
#include "checkpoint/problems.h"

namespace guildhall {

struct Inspection {
  struct Part {
    std::string
        kind;  // "embedding", "attention", "router", "experts", "shared experts", "dense", "norms", "head"
    int64_t parameters = 0;
    int64_t active = 0;  // of them, for one token
    int64_t bytes = 0;
    int64_t active_bytes = 0;
  };

  std::string directory;
  bool served = false;
  std::vector<Problem> problems;   // why not
  std::vector<std::string> notes;  // what a person should know, and nothing refuses

  bool known_family = false;  // false: `spec` holds the shared sizes alone, and `parts` is empty
  ModelSpec spec;
  GenerationConfig generation;

  std::vector<Part> parts;  // by kind, without those that are 0
  int64_t parameters = 0;   // of the parts, or else of all tensors in the files
  int64_t active_parameters = 0;
  int64_t weight_bytes = 0;        // resident once loaded, in the dtypes of the files
  int64_t bytes_per_token = 0;     // of weights that one decoded token reads (one row of the embedding)
  int64_t expert_bytes = 0;        // one routed expert of one layer
  int64_t kv_bytes_per_token = 0;  // over all layers, in the cache's default dtype

  std::map<std::string, int64_t> bytes_by_dtype;  // of all tensors in the files
  int64_t files = 0, file_bytes = 0, tensors = 0;
  int64_t skipped_bytes = 0;  // tensors that no forward pass reads
  std::string tokenizer;      // "tokenizer.json", or why there is none
};

// Errors only where nothing can be said: no such folder, or no config.json that is JSON.
absl::StatusOr<Inspection> Inspect(const std::string& directory, const CheckpointOptions& options = {});

struct NamedLine {
  std::string name, text;
};

// For people, in lines of text, the verdict last; and for programs, one JSON object. `machine`: what is to be
// said of the machine, behind what is said of the model.
std::string InspectText(const Inspection& inspection, const std::vector<NamedLine>& machine = {});
Json InspectJson(const Inspection& inspection);

}  // namespace guildhall
