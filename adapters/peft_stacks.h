// Which stacked parameters an adapter changes, and where their factors are.
#pragma once

#include <vector>

#include "adapters/model_modules.h"
#include "adapters/peft_config.h"
#include "adapters/peft_targets.h"
#include "adapters/peft_tensors.h"
#include "adapters/stacked_experts.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

// The changes that target_parameters asks for on experts, with their tensors, whose shapes fit; all else is a
// problem of `tensors`. Marks in `named` the names of target_parameters that stand for something.
std::vector<StackedChange> BindStacks(const PeftConfig& config, const ModelSpec& spec,
                                      const ModelModules& modules, const PeftTargets& targets,
                                      PeftTensors& tensors, std::vector<bool>& named);

}  // namespace guildhall
