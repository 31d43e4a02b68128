#include "text/folder.h"

#include <filesystem>
#include <memory>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/stand_in.h"
#include "text/c_api.h"

namespace guildhall {
namespace {

using text_internal::Bytes;
using text_internal::OwnedBuffer;
using text_internal::ToStatus;

// What gh_folder_load reads, beside additional_chat_templates.
constexpr const char* kFiles[] = {"tokenizer.json",    "tokenizer_config.json", "special_tokens_map.json",
                                  "added_tokens.json", "chat_template.jinja",   "chat_template.json"};

constexpr const char* kMoreTemplates = "additional_chat_templates";

// Every file that gh_folder_load reads, or would read if its download had been completed.
std::set<std::string> FilesOf(const std::string& directory) {
  std::set<std::string> files;
  for (const char* name : kFiles) files.insert(absl::StrCat(directory, "/", name));
  std::error_code error;
  const std::string more = absl::StrCat(directory, "/", kMoreTemplates);
  for (const auto& entry : std::filesystem::directory_iterator(more, error)) {
    const std::string name = entry.path().filename().string();
    const std::string_view unfinished = UnfinishedName(name);
    const std::string wanted(unfinished.empty() ? std::string_view(name) : unfinished);
    if (wanted.ends_with(".jinja")) files.insert(absl::StrCat(more, "/", wanted));
  }
  return files;
}

// The order of gh_folder_special_token.
enum Role : uint32_t { kBos, kEos, kPad, kUnk };

struct FolderFree {
  void operator()(gh_folder* folder) const { gh_folder_free(folder); }
};
using FolderPtr = std::unique_ptr<gh_folder, FolderFree>;

std::optional<NamedToken> SpecialToken(const gh_folder* folder, Role role, const Tokenizer* tokenizer) {
  OwnedBuffer text;
  OwnedBuffer error;
  if (gh_folder_special_token(folder, role, text.out(), error.out()) != 0) return std::nullopt;
  NamedToken token{text.str(), std::nullopt};
  if (tokenizer != nullptr) token.id = tokenizer->TokenId(token.text);
  return token;
}

absl::Status LoadTemplates(const gh_folder* folder, const ChatTemplateLimits& limits, TextAssets& assets) {
  for (size_t i = 0; i < gh_folder_template_count(folder); ++i) {
    OwnedBuffer name;
    OwnedBuffer source;
    OwnedBuffer error;
    const int32_t code = gh_folder_template(folder, i, name.out(), source.out(), error.out());
    if (code != 0) return ToStatus(code, error);
    auto compiled = ChatTemplate::Compile(source.view(), limits);
    NamedTemplate& entry = assets.templates[name.str()];
    entry.source = source.str();
    entry.status = compiled.status();
    if (compiled.ok()) entry.chat_template = *std::move(compiled);
  }
  return absl::OkStatus();
}

std::vector<std::string> Notes(const gh_folder* folder) {
  std::vector<std::string> notes;
  for (size_t i = 0; i < gh_folder_note_count(folder); ++i) {
    OwnedBuffer note;
    OwnedBuffer error;
    if (gh_folder_note(folder, i, note.out(), error.out()) == 0) notes.push_back(note.str());
  }
  return notes;
}

}  // namespace

absl::StatusOr<TextAssets> LoadTextAssets(const std::string& directory, const ChatTemplateLimits& limits) {
  for (const std::string& file : FilesOf(directory)) {
    if (absl::Status status = CheckNoStandIn(file); !status.ok()) return status;
  }
  gh_folder* raw = nullptr;
  OwnedBuffer error;
  if (const int32_t code = gh_folder_load(Bytes(directory), directory.size(), &raw, error.out()); code != 0) {
    return ToStatus(code, error);
  }
  const FolderPtr folder(raw);
  TextAssets assets;
  if (gh_tokenizer* handle = gh_folder_take_tokenizer(folder.get()); handle != nullptr) {
    assets.tokenizer = Tokenizer::Adopt(handle);
  }
  assets.bos = SpecialToken(folder.get(), kBos, assets.tokenizer.get());
  assets.eos = SpecialToken(folder.get(), kEos, assets.tokenizer.get());
  assets.pad = SpecialToken(folder.get(), kPad, assets.tokenizer.get());
  assets.unk = SpecialToken(folder.get(), kUnk, assets.tokenizer.get());
  assets.notes = Notes(folder.get());
  if (absl::Status status = LoadTemplates(folder.get(), limits, assets); !status.ok()) return status;
  return assets;
}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> TextAssets::SelectTemplate(const std::string& name,
                                                                               bool has_tools) const {
  const bool tool_use = name.empty() && has_tools && templates.contains("tool_use");
  const std::string wanted = !name.empty() ? name : tool_use ? "tool_use" : "default";
  const auto found = templates.find(wanted);
  if (found == templates.end()) {
    if (templates.empty())
      return absl::NotFoundError("the model folder has no chat template: send text or token ids");
    return absl::NotFoundError(absl::StrCat("the model folder has no chat template named '", wanted, "'"));
  }
  if (!found->second.status.ok()) return found->second.status;
  return found->second.chat_template;
}

std::string TextAssets::TokenVariablesJson() const {
  Json variables = Json::object();
  if (bos) variables["bos_token"] = bos->text;
  if (eos) variables["eos_token"] = eos->text;
  if (pad) variables["pad_token"] = pad->text;
  if (unk) variables["unk_token"] = unk->text;
  return DumpJson(variables);
}

}  // namespace guildhall
