// A tuned checkpoint as an adapter of its base: what was changed, written as folders that are served.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

struct DiffOptions {
  // > 0: matrices outside the experts that were changed are
  // written as a LoRA of this rank; 0: they are refused.
  int64_t low_rank = 0;
};

struct DiffReport {
  struct Fitted {
    std::string module;  // "model.layers.0.self_attn.q_proj"
    int64_t rank = 0;
    double relative_error = 0.0;  // of the change, Frobenius
  };

  std::map<int, std::vector<int>> experts;  // layer -> routed experts that were changed
  std::vector<int> shared_layers;           // whose shared experts were changed
  std::vector<Fitted> low_rank;
  uint64_t esft_bytes = 0, lora_bytes = 0;     // of the tensors that were written
  std::string esft_directory, lora_directory;  // "" where nothing was written
};

// Compares two folders of one architecture. Changed experts become an ESFT folder `out` (expert_cfg.json and
// one .safetensors file with the published names, numbers as in the tuned folder). With `low_rank`, what else
// was changed becomes a PEFT folder `out`-lora. Unchanged: the base's numbers, or those rounded to a narrower
// dtype. FAILED_PRECONDITION: another architecture; a change outside the experts (with `low_rank`: of a norm,
// a bias or a router), the first twenty by name; no change at all; a folder that exists. On an error nothing
// is left. Reads every tensor of both once or twice; memory: the largest of them.
absl::StatusOr<DiffReport> DiffCheckpoints(const std::string& base, const std::string& tuned,
                                           const std::string& out, const DiffOptions& options = {});

}  // namespace guildhall
