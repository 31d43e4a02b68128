// The weights that a model has by its config.json alone, for folders that hold them in another form.
#pragma once

#include "checkpoint/binding.h"
#include "checkpoint/hf_config.h"

namespace guildhall {

// Every weight under its usual name with its shape and `config.spec.dtype`, in no file and without data.
// Takes time and memory as config.json states: compare its numbers with what there is before.
Binding ExpectedWeights(const HfConfig& config);

}  // namespace guildhall
