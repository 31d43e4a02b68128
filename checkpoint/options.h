// What an operator may say about a model folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace guildhall {

struct CheckpointOptions {
  // Keys of config.json that the operator declares harmless: unknown ones, and values that would be refused
  // where they do not shape the weights
  // ("foo", "rope_scaling.foo").
  std::vector<std::string> ignore_config_keys;
  // Keys of generation_config.json that count as absent.
  std::vector<std::string> ignore_generation_keys;
  // The tokens that end an answer, each as its text or its id, instead of those of the folder's files; empty:
  // those.
  std::vector<std::string> end_tokens;
  // The context limit to serve instead of the one that config.json implies; 0: as it says. A larger one is
  // the operator's own risk, as in transformers, which has no limit.
  int64_t max_positions = 0;
};

}  // namespace guildhall
