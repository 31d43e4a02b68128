// The text part of a Hugging Face model folder.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

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
  absl::Status status;
};

struct TextAssets {
  std::shared_ptr<const Tokenizer>
      tokenizer;  // null: the folder has no tokenizer.json and serves token ids only
  std::map<std::string, NamedTemplate> templates;  // by name; "default" is the one of chat_template.jinja
  std::optional<NamedToken> bos, eos, pad, unk;

  // The template that transformers would take: the named one, else "tool_use" for a request with tools, else
  // "default". NotFound where the folder has none of that name; the compile error where it did not compile.
  absl::StatusOr<std::shared_ptr<const ChatTemplate>> SelectTemplate(const std::string& name,
                                                                     bool has_tools) const;

  // What transformers passes to every template: {"bos_token":
  // "<s>", ...} with the tokens that the folder names.
  std::string TokenVariablesJson() const;
};

// Reads tokenizer.json, tokenizer_config.json (tokens as text or objects, add_bos_token and
// add_eos_token, chat_template as text or list), special_tokens_map.json, chat_template.jinja,
// chat_template.json and additional_chat_templates/*.jinja, as transformers 4 and 5 write
// them. Absent files are fine, broken ones are not. add_bos_token and add_eos_token of
// tokenizer_config.json win over tokenizer.json, as in transformers 4, which wrote them for
// models that need them (DeepSeek-V3); transformers 5 writes neither and reads neither.
absl::StatusOr<TextAssets> LoadTextAssets(const std::string& directory,
                                          const ChatTemplateLimits& limits = {});

}  // namespace guildhall
