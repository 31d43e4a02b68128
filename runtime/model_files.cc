#include "runtime/model_files.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/model_folder.h"
#include "runtime/end_tokens.h"
#include "runtime/generation_defaults.h"

namespace guildhall {
namespace {

// Nothing more can be said of what is no folder.
absl::Status CheckFolder(const std::string& directory) {
  if (directory.find('\0') != std::string::npos)
    return absl::InvalidArgumentError("model folder: a name with a NUL character");
  std::error_code error;
  const auto status = std::filesystem::status(directory, error);
  if (std::filesystem::is_directory(status)) return absl::OkStatus();
  if (std::filesystem::exists(status)) {
    return absl::FailedPreconditionError(StrCat(directory, ": expected the folder of a model, found a file"));
  }
  return absl::NotFoundError(StrCat(directory, ": no such folder"));
}

absl::Status OpenWeights(const std::string& directory, const CheckpointOptions& options, ModelFiles& files) {
  if (!IsPackedFolder(directory)) {
    GH_ASSIGN_OR_RETURN(files.checkpoint, Checkpoint::Open(directory, options));
    return absl::OkStatus();
  }
  GH_ASSIGN_OR_RETURN(files.packed, PackedFolder::Open(directory));
  const PackedManifest& manifest = files.packed->manifest();
  GH_ASSIGN_OR_RETURN(files.checkpoint,
                      Checkpoint::OpenPacked(directory, options, manifest.dtype, manifest.tensors.size()));
  return absl::OkStatus();
}

absl::Status ReadDefaults(ModelFiles& files) {
  if (files.checkpoint == nullptr) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(files.defaults, GenerationDefaults(files.checkpoint->generation()));
  return absl::OkStatus();
}

absl::Status ReadText(const std::string& directory, ModelFiles& files) {
  GH_ASSIGN_OR_RETURN(files.text, LoadTextAssets(directory));
  return absl::OkStatus();
}

void CompareBeginnings(ModelFiles& files) {
  const int32_t bos = files.checkpoint->spec().bos_token;
  const auto& named = files.text.bos;
  if (bos < 0 || !named || !named->id || *named->id == bos) return;
  files.notes.push_back(StrCat("bos_token of the tokenizer is ", *named->id, " (", named->text,
                               "), bos_token_id of generation_config.json or config.json is ", bos,
                               ": a text begins as the tokenizer says"));
}

// transformers rotates the whole of a long prompt by its length, which no cache of prefixes could share.
void NoteRope(ModelFiles& files) {
  const RopeSpec& rope = files.checkpoint->spec().attention.rope;
  if (rope.kind != RopeSpec::Kind::kDynamicNtk) return;
  files.notes.push_back(
      StrCat("config.json: dynamic rope: a prompt of more than ", rope.original_max_positions,
             " tokens is rotated position by position, as transformers does token by token; "
             "its prefill gives other numbers (docs/formats.md)"));
}

// Ids that a prompt may hold and the model has no row for.
void CompareVocabularies(ModelFiles& files) {
  const Tokenizer* tokenizer = files.text.tokenizer.get();
  const int64_t rows = files.checkpoint->spec().vocabulary;
  if (tokenizer == nullptr || tokenizer->VocabularySize() <= rows) return;
  files.notes.push_back(StrCat("tokenizer.json has ids up to ", tokenizer->VocabularySize() - 1,
                               ", the model's embedding ends at ", rows - 1,
                               ": prompts with tokens beyond it are refused"));
}

absl::Status Compare(const CheckpointOptions& options, ModelFiles& files) {
  if (files.checkpoint == nullptr) return absl::OkStatus();
  files.notes = files.text.notes;
  const std::vector<std::string>& of_config = files.checkpoint->notes();
  files.notes.insert(files.notes.end(), of_config.begin(), of_config.end());
  GH_ASSIGN_OR_RETURN(files.end_tokens,
                      EndTokens(files.checkpoint->spec(), files.text, options.end_tokens, files.notes));
  CompareBeginnings(files);
  CompareVocabularies(files);
  NoteRope(files);
  for (std::string& note : GenerationNotes(files.checkpoint->generation()))
    files.notes.push_back(std::move(note));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelFiles> OpenModelFiles(const std::string& directory, const CheckpointOptions& options,
                                          Problems* beside_weights) {
  GH_RETURN_IF_ERROR(CheckFolder(directory));
  ModelFiles files;
  Problems problems;
  problems.Add(OpenWeights(directory, options, files));
  absl::Status text = ReadText(directory, files);
  if (text.ok()) text = Compare(options, files);
  for (const absl::Status& status : {ReadDefaults(files), text}) {
    problems.Add(status);
    if (beside_weights != nullptr) beside_weights->Add(status);
  }
  GH_RETURN_IF_ERROR(problems.ToStatus());
  return files;
}

}  // namespace guildhall
