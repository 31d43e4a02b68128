// What trainers leave beside an adapter of the text side: tokenizer, chat template, generation settings.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/sampling_fields.h"
#include "text/folder.h"
#include "weights/adapter_source.h"

namespace guildhall {

// What the base has, and what its operator says.
struct AdapterTextRules {
  const TextAssets* text = nullptr;  // outlives whatever is read by it
  PartialSampling defaults = {};     // of its generation_config.json
  std::vector<int32_t> end_tokens = {};
  bool only_these_end = false;  // the operator has named them
  int64_t vocabulary = 0;       // rows of the embedding
  std::vector<std::string> ignore_generation_keys = {};
};

// Serves the tasks that have this adapter alone, and goes with its version. Immutable.
struct AdapterText final : AdapterCompanion {
  // Tokenizer, templates and named tokens, the base's where the folder has none of its own; null: all of it.
  std::shared_ptr<const TextAssets> assets;
  std::vector<int32_t> end_tokens;  // end an answer beside the base's
  PartialSampling defaults;         // of the folder's generation_config.json: above the base's
  // A line for each thing in which the folder's files differ from the base's, and what is made of it.
  std::vector<std::string> notes;
};

// Never fails: what cannot be read or used is said, too. Of a folder that has no such files, or the base's,
// nothing is said. A tokenizer is the folder's own where it has the base's tokens, and beside them only such
// as the embedding has rows for.
AdapterText ReadAdapterText(const std::string& directory, const AdapterTextRules& rules);

// Whatever the folder was opened with by those who read its text, too; null: nothing.
std::shared_ptr<const AdapterText> TextOf(const std::shared_ptr<const AdapterCompanion>& companion);

}  // namespace guildhall
