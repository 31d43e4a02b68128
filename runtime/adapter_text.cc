#include "runtime/adapter_text.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/generation_config.h"
#include "runtime/generation_defaults.h"
#include "text/stop_matcher.h"

namespace guildhall {
namespace {

constexpr std::array<std::string_view, 7> kTextFiles = {
    "tokenizer.json",     "tokenizer_config.json", "special_tokens_map.json",  "added_tokens.json",
    "chat_template.json", "chat_template.jinja",   "additional_chat_templates"};
constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
constexpr std::string_view kGeneration = "generation_config.json";
constexpr size_t kMaxGenerationBytes = size_t{4} << 20;
constexpr std::string_view kItsTasks = "the tasks that have this adapter alone";

bool Present(const std::string& directory, std::string_view name) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(StrCat(directory, "/", name), error));
}

bool Has(const std::vector<int32_t>& tokens, int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

std::string Shown(const Tokenizer& tokenizer, int32_t id) {
  const auto text = tokenizer.TokenText(id);
  return text.ok() ? StrCat(Quote(*text, 60), tokenizer.IsSpecial(id) ? " (special)" : "") : "nothing";
}

class Reader {
 public:
  Reader(const std::string& directory, const AdapterTextRules& rules)
      : directory_(directory), rules_(rules), base_(*rules.text) {}

  AdapterText Read() {
    ReadGeneration();
    ReadText();
    return std::move(text_);
  }

 private:
  void Note(std::string line) { text_.notes.push_back(std::move(line)); }

  // generation_config.json

  absl::StatusOr<GenerationConfig> ParsedGeneration() const {
    GH_ASSIGN_OR_RETURN(const std::string text,
                        ReadSmallFile(StrCat(directory_, "/", kGeneration), kMaxGenerationBytes));
    GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, std::string(kGeneration)));
    return ParseGenerationConfig(json, rules_.vocabulary, rules_.ignore_generation_keys);
  }

  void ReadGeneration() {
    if (!Present(directory_, kGeneration)) return;
    const auto parsed = ParsedGeneration();
    const auto defaults =
        parsed.ok() ? GenerationDefaults(*parsed) : absl::StatusOr<PartialSampling>(parsed.status());
    const absl::Status usable =
        defaults.ok() ? StopMatcher::Create(defaults->stop).status() : defaults.status();
    if (!usable.ok()) return Note(StrCat(kGeneration, ": not used (", usable.message(), ")"));
    text_.defaults = *defaults;
    // That the base is greedy does not outlive a file that says otherwise.
    if (parsed->do_sample.value_or(false) && !parsed->temperature) text_.defaults.temperature = 1.0;
    if (SaysMore()) {
      Note(StrCat(kGeneration, ": its defaults serve ", kItsTasks, ", below their own sampling"));
    }
    for (std::string& note : GenerationNotes(*parsed)) Note(std::move(note));
    for (const int32_t token : parsed->eos_tokens.value_or(std::vector<int32_t>())) {
      if (Has(rules_.end_tokens, token)) continue;
      AddEnd(token, StrCat(kGeneration, ": eos_token_id ", token, " is no end token of the base's"),
             "it ends an answer, too");
    }
  }

  // Whether a default is set that is not the base's.
  bool SaysMore() const {
    const PartialSampling none;
    return std::any_of(std::begin(kSamplingFields), std::end(kSamplingFields), [&](const auto& field) {
      return std::visit(
          [&](const auto& member) {
            const auto& own = text_.defaults.*member.partial;
            return own != none.*member.partial && own != rules_.defaults.*member.partial;
          },
          field.member);
    });
  }

  void AddEnd(int32_t token, const std::string& what, std::string_view so) {
    if (rules_.only_these_end) return Note(StrCat(what, ": model.end_tokens is followed"));
    Note(StrCat(what, ": ", so));
    if (!Has(text_.end_tokens, token)) text_.end_tokens.push_back(token);
  }

  // Tokenizer and templates

  void ReadText() {
    const bool any = std::any_of(kTextFiles.begin(), kTextFiles.end(),
                                 [&](std::string_view name) { return Present(directory_, name); });
    if (!any) return;
    if (base_.tokenizer == nullptr) {
      return Note("tokenizer: the base has none to compare the folder's own files with: they are not used");
    }
    auto own = LoadTextAssets(directory_);
    if (!own.ok()) {
      return Note(StrCat("tokenizer: the folder's own files cannot be read (", own.status().message(),
                         "); the base's are used"));
    }
    const bool other = own->tokenizer != nullptr && !own->tokenizer->SameAs(*base_.tokenizer);
    if (other && !Fits(*own->tokenizer)) return;
    for (const std::string& note : own->notes) {
      if (std::find(base_.notes.begin(), base_.notes.end(), note) == base_.notes.end()) Note(note);
    }
    TextAssets used = base_;
    if (other) TakeTokenizer(*own, used);
    const bool names = TakeNames(*own, other, used);
    const bool templates = TakeTemplates(*own, used);
    if (other || names || templates) text_.assets = std::make_shared<const TextAssets>(std::move(used));
  }

  // The first token that differs says it all: a vocabulary has the base's tokens, or is another one.
  bool Fits(const Tokenizer& own) {
    const int32_t known = base_.tokenizer->VocabularySize();
    for (int32_t id = 0; id < std::max(own.VocabularySize(), known); ++id) {
      const auto mine = own.TokenText(id), theirs = base_.tokenizer->TokenText(id);
      const bool added = mine.ok() && !theirs.ok();
      if (added && id >= rules_.vocabulary) {
        Note(StrCat("tokenizer: token ", id, ", ", Shown(own, id),
                    ", is none of the base's, whose embedding has rows for ids up to ", rules_.vocabulary - 1,
                    ": the base's tokenizer is used"));
        return false;
      }
      if (added || (mine.ok() == theirs.ok() && (!mine.ok() || *mine == *theirs))) continue;
      Note(StrCat("tokenizer: token ", id, " is ", Shown(own, id), " in the adapter's folder, ",
                  Shown(*base_.tokenizer, id), " in the base's, which is used: an adapter that was trained ",
                  "with other tokens needs a base that has them"));
      return false;
    }
    if (Present(directory_, kTokenizerConfig)) return true;
    Note(StrCat("tokenizer: tokenizer.json is not the base's, and no ", kTokenizerConfig,
                " says how it is used: the base's tokenizer is used"));
    return false;
  }

  void TakeTokenizer(const TextAssets& own, TextAssets& used) {
    std::string added;
    int count = 0;
    for (int32_t id = 0; id < own.tokenizer->VocabularySize(); ++id) {
      if (!own.tokenizer->TokenText(id).ok() || base_.tokenizer->TokenText(id).ok()) continue;
      if (++count <= 4) StrAppend(&added, added.empty() ? " (" : ", ", Shown(*own.tokenizer, id));
    }
    if (count > 4) StrAppend(&added, " and ", count - 4, " more");
    used.tokenizer = own.tokenizer;
    Note(StrCat("tokenizer: the folder's own serves ", kItsTasks, ": it has the base's tokens",
                count > 0 ? StrCat(" and others", added, ")") : " and treats text otherwise"));
  }

  // `all`: a name that the folder leaves out is left out. Whether one is not the base's.
  bool TakeNames(const TextAssets& own, bool all, TextAssets& used) {
    bool changed = false;
    for (const auto member : {&TextAssets::bos, &TextAssets::eos, &TextAssets::pad, &TextAssets::unk}) {
      const std::optional<NamedToken>& mine = own.*member;
      if (!all && !mine) continue;
      const std::optional<NamedToken>& theirs = base_.*member;
      changed |= mine.has_value() != theirs.has_value() || (mine && mine->text != theirs->text);
      used.*member = mine;
      if (mine) (used.*member)->id = used.tokenizer->TokenId(mine->text);
    }
    if (own.eos && !(base_.eos && base_.eos->text == own.eos->text)) TakeEnd(*used.eos);
    return changed;
  }

  void TakeEnd(const NamedToken& eos) {
    const std::string what = StrCat("tokenizer: eos_token is ", Quote(eos.text, 60), ", the base's is ",
                                    base_.eos ? Quote(base_.eos->text, 60) : "not set");
    if (!eos.id || *eos.id >= rules_.vocabulary) {
      Note(StrCat(what, "; there is no such token"));
    } else if (Has(rules_.end_tokens, *eos.id)) {
      Note(StrCat(what, ": both end an answer"));
    } else {
      AddEnd(*eos.id, what, "both end an answer");
    }
  }

  // Templates alone need no tokenizer of their own.
  bool TakeTemplates(const TextAssets& own, TextAssets& used) {
    const bool differ = std::any_of(own.templates.begin(), own.templates.end(), [&](const auto& entry) {
      const auto theirs = base_.templates.find(entry.first);
      return theirs == base_.templates.end() || theirs->second.source != entry.second.source;
    });
    if (!differ) return false;
    if (const absl::Status status = own.SelectTemplate("", false).status(); !status.ok()) {
      Note(StrCat("chat template: the folder's own is not usable (", status.message(),
                  "); the base's is used"));
      return false;
    }
    Note(StrCat("chat template: the folder's own serves ", kItsTasks, " and no template of theirs"));
    used.templates = own.templates;
    return true;
  }

  const std::string& directory_;
  const AdapterTextRules& rules_;
  const TextAssets& base_;
  AdapterText text_;
};

}  // namespace

AdapterText ReadAdapterText(const std::string& directory, const AdapterTextRules& rules) {
  return Reader(directory, rules).Read();
}

std::shared_ptr<const AdapterText> TextOf(const std::shared_ptr<const AdapterCompanion>& companion) {
  return std::static_pointer_cast<const AdapterText>(companion);
}

}  // namespace guildhall
