// The text part of a Hugging Face model folder.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace guildhall {

// A token that the folder gives a role: its text, and its id where the tokenizer knows it.
struct NamedToken {
  std::string text;
  std::optional<int32_t> id;
};

// A template that does not compile must not keep a model
// from serving prompts: its error is kept beside its name.
struct NamedTemplate {
  std::shared_ptr<const ChatTemplate> chat_template;  // null: see status
  std::string source;
  absl::Status status;
};

struct TextAssets {
  std::shared_ptr<const Tokenizer>
      tokenizer;  // null: the folder has no tokenizer.json and serves token ids only
  std::map<std::string, NamedTemplate> templates;  // by name; "default" is the one of chat_template.jinja
  std::optional<NamedToken> bos, eos, pad, unk;
  // Where files disagree, and which of them is followed; a line each.
  std::vector<std::string> notes;

  // The template that transformers would take: the named one, else "tool_use" for a request with tools, else
  // "default". NotFound where the folder has none of that name; the compile error where it did not compile.
  absl::StatusOr<std::shared_ptr<const ChatTemplate>> SelectTemplate(const std::string& name,
                                                                     bool has_tools) const;

  // What transformers passes to every template: {"bos_token":
  // "<s>", ...} with the tokens that the folder names.
  std::string TokenVariablesJson() const;
};

// One view of tokenizer.json, tokenizer_config.json, special_tokens_map.json, added_tokens.json,
// chat_template.jinja, chat_template.json and additional_chat_templates/*.jinja, as transformers 4 and 5 have
// them, by the rules of transformers for the class that tokenizer_config.json names, or config.json. Absent
// files are fine, broken ones are not; where two disagree, `notes` says which is followed. Tokens that only
// tokenizer_config.json or special_tokens_map.json lists are added, or special, all the same. add_bos_token
// and add_eos_token count for the classes that read them in transformers 4, which wrote them for models that
// need them (DeepSeek-V3); transformers 5 neither writes nor reads them.
absl::StatusOr<TextAssets> LoadTextAssets(const std::string& directory,
                                          const ChatTemplateLimits& limits = {});

}  // namespace guildhall
