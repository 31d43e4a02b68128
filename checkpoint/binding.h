// Expected tensors meet the tensors of the files: each is used, harmless, or a problem.
#pragma once

#include <map>
#include <string>

#include "base/tensor_view.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/tensor_files.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

struct BoundWeight {
  std::string name;  // in the file
  TensorView view;   // into the mapping; one expert's slice where the file holds them stacked
  const SafetensorsFile* file = nullptr;
};

struct Binding {
  std::map<WeightKey, BoundWeight> weights;
  size_t skipped_bytes = 0;  // of harmless tensors that nothing reads
};

// Missing, extra, misshapen tensors and dtypes that are not served become problems: the first few of a kind
// by name with expected and found, and the number of the rest. With tied embeddings a head in the file must
// equal the embedding to the byte. Time and memory follow what the files hold, not what the config states.
Binding BindWeights(const HfConfig& config, const TensorFiles& files, Problems& problems);

}  // namespace guildhall
