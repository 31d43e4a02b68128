// Every key of config.json is honoured, harmless, or refused by name.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/config_reader.h"

namespace guildhall {

// Call when the family has read its keys: the rest must be known to leave the result alone (training,
// bookkeeping, generation defaults), be null, or be listed in `ignored_keys`.
void CheckRemainingKeys(ConfigReader& config, const std::vector<std::string>& ignored_keys);

}  // namespace guildhall
