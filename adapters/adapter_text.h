// What trainers leave beside an adapter of the text side: tokenizer, chat template, generation settings.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/folder.h"

namespace guildhall {

// Immutable. Requests of an adapter are encoded by the base's tokenizer. Where the folder's own has the same
// tokens, its chat template and its end of a turn serve the tasks that have this adapter alone.
struct AdapterFolderText {
  // Null: the folder has none, or the base's.
  std::shared_ptr<const TextAssets> own_templates;
  // The tokenizer's eos_token, where it is not the base's.
  std::optional<int32_t> end_token;
  // A line for each thing in which the folder's files differ from the base's, and what is made of it.
  std::vector<std::string> notes;
};

// Never fails: what cannot be read is said, too. Of a folder that has no such files nothing is said.
AdapterFolderText ReadAdapterFolderText(const std::string& directory, const TextAssets& base);

}  // namespace guildhall
