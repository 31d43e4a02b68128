// Whether two checkpoints are of one architecture.
#pragma once

#include <string>

#include "checkpoint/model_spec.h"

namespace guildhall {

// "hidden: 2048 and 4096" for the first thing that changes what a model computes and differs; "" for none.
// Token ids, the context limit and the declared dtype may differ.
std::string SpecDifference(const ModelSpec& a, const ModelSpec& b);

}  // namespace guildhall
