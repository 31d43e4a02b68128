// A PEFT configuration meets the tensors of its file: each is used, or named in a problem.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/adapter_files.h"
#include "adapters/low_rank_place.h"
#include "adapters/peft_config.h"
#include "checkpoint/weight_source.h"

namespace guildhall {

// A copy of a base weight that PEFT saved beside the changes (embedding, head): it must be the base's.
struct BaseCopy {
  const AdapterTensor* tensor = nullptr;
  WeightKey key;
};

struct PeftBinding {
  std::vector<PlacedChange> changes;  // by key
  std::vector<BaseCopy> copies;
  std::vector<std::string> notes;
};

// Every module that the configuration asks for has its tensors with their shapes, and every tensor belongs to
// one of them; otherwise the first few problems by name. `what` is the configuration's file.
absl::StatusOr<PeftBinding> BindPeft(const PeftConfig& config, const std::string& what,
                                     const AdapterFiles& files, const WeightSource& base, int64_t max_rank);

}  // namespace guildhall
