// Every key of config.json is honoured, harmless, or refused by name.
#pragma once

#include "checkpoint/config_reader.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

// Call when the family has read its keys into `spec`: the rest must be known to leave the result alone
// (training, bookkeeping, generation defaults, names that begin with an underscore), say of another family's
// key what this one does anyway, be null, or be waived.
void CheckRemainingKeys(ConfigReader& config, const ModelSpec& spec);

}  // namespace guildhall
