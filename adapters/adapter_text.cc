#include "adapters/adapter_text.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::array<std::string_view, 7> kTextFiles = {
    "tokenizer.json",     "tokenizer_config.json", "special_tokens_map.json",  "added_tokens.json",
    "chat_template.json", "chat_template.jinja",   "additional_chat_templates"};
constexpr std::string_view kGeneration = "generation_config.json";

bool Present(const std::string& directory, std::string_view name) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(StrCat(directory, "/", name), error));
}

std::string TextOf(const Tokenizer& tokenizer, int32_t id) {
  const auto text = tokenizer.TokenText(id);
  return text.ok() ? StrCat(Quote(*text, 60), tokenizer.IsSpecial(id) ? " (special)" : "") : "nothing";
}

// The first token that differs says it all: a vocabulary is the base's, or another one.
bool SameVocabulary(const Tokenizer& own, const Tokenizer& base, std::vector<std::string>& notes) {
  const int32_t size = std::max(own.VocabularySize(), base.VocabularySize());
  for (int32_t id = 0; id < size; ++id) {
    const std::string mine = TextOf(own, id), theirs = TextOf(base, id);
    if (mine == theirs) continue;
    notes.push_back(
        StrCat("tokenizer: token ", id, " is ", mine, " in the adapter's folder, ", theirs,
               " in the base's, which is used: an adapter that was trained with other tokens needs "
               "a base that has them"));
    return false;
  }
  return true;
}

// Templates alone need no tokenizer of their own.
bool HasOwnTemplate(const TextAssets& own, const TextAssets& base) {
  return std::any_of(own.templates.begin(), own.templates.end(), [&](const auto& entry) {
    const auto theirs = base.templates.find(entry.first);
    return theirs == base.templates.end() || theirs->second.source != entry.second.source;
  });
}

void TakeTemplates(TextAssets own, const TextAssets& base, AdapterFolderText& text) {
  if (!HasOwnTemplate(own, base)) return;
  const absl::Status status = own.SelectTemplate("", false).status();
  if (!status.ok()) {
    text.notes.push_back(
        StrCat("chat template: the folder's own is not usable (", status.message(), "); the base's is used"));
    return;
  }
  if (!own.bos) own.bos = base.bos;
  if (!own.eos) own.eos = base.eos;
  if (!own.pad) own.pad = base.pad;
  if (!own.unk) own.unk = base.unk;
  text.notes.push_back(
      "chat template: the folder's own serves the tasks that have this adapter alone and no template of "
      "theirs");
  text.own_templates = std::make_shared<const TextAssets>(std::move(own));
}

}  // namespace

AdapterFolderText ReadAdapterFolderText(const std::string& directory, const TextAssets& base) {
  AdapterFolderText text;
  if (Present(directory, kGeneration)) {
    text.notes.push_back(
        StrCat(kGeneration, ": not used; give what it says to the adapter's tasks, as tasks.ID.sampling"));
  }
  const bool any = std::any_of(kTextFiles.begin(), kTextFiles.end(),
                               [&](std::string_view name) { return Present(directory, name); });
  if (!any || base.tokenizer == nullptr) return text;
  auto own = LoadTextAssets(directory);
  if (!own.ok()) {
    text.notes.push_back(StrCat("tokenizer: the folder's own files cannot be read (", own.status().message(),
                                "); the base's are used"));
    return text;
  }
  if (own->tokenizer != nullptr && !SameVocabulary(*own->tokenizer, *base.tokenizer, text.notes)) return text;
  if (own->eos && (!base.eos || base.eos->text != own->eos->text)) {
    text.end_token = base.tokenizer->TokenId(own->eos->text);
    text.notes.push_back(StrCat("tokenizer: eos_token is ", Quote(own->eos->text, 60), ", the base's is ",
                                base.eos ? Quote(base.eos->text, 60) : "not set",
                                text.end_token ? ": both end an answer" : "; the base has no such token"));
  }
  TakeTemplates(*std::move(own), base, text);
  return text;
}

}  // namespace guildhall
