#include "checkpoint/model_folder.h"

#include <filesystem>
#include <system_error>

#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;

absl::StatusOr<Json> ReadJsonFile(const std::string& directory, const std::string& name) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(StrCat(directory, "/", name), kMaxConfigBytes));
  return ParseJson(text, name);
}

// What is left out must be there.
void NoteIdleKeys(const Json& json, const std::vector<std::string>& ignored,
                  std::vector<std::string>& notes) {
  for (const std::string& key : ignored) {
    if (json.is_object() && json.contains(key)) continue;
    notes.push_back(
        StrCat("ignore_generation_config_keys: ", Quote(key), ": generation_config.json has no such key"));
  }
}

// generation_config.json is optional; what it says of the last tokens goes before config.json.
void ReadGeneration(const std::string& directory, const CheckpointOptions& options, ModelFolder& folder) {
  const auto json = ReadJsonFile(directory, "generation_config.json");
  if (json.ok() || absl::IsNotFound(json.status())) {
    NoteIdleKeys(json.ok() ? *json : Json(), options.ignore_generation_keys, folder.config.notes);
  }
  if (absl::IsNotFound(json.status())) return;
  if (!json.ok()) return folder.problems.Add(json.status());
  ModelSpec& spec = folder.config.spec;
  auto parsed = ParseGenerationConfig(*json, spec.vocabulary, options.ignore_generation_keys);
  if (!parsed.ok()) return folder.problems.Add(parsed.status());
  folder.generation = *std::move(parsed);
  if (folder.generation.eos_tokens) spec.eos_tokens = *folder.generation.eos_tokens;
  if (folder.generation.bos_token) spec.bos_token = *folder.generation.bos_token;
}

}  // namespace

bool IsPackedFolder(const std::string& directory) {
  std::error_code error;
  return std::filesystem::exists(StrCat(directory, "/", kPackedManifestFile), error);
}

absl::StatusOr<ModelFolder> ReadFolderConfig(const std::string& directory, const CheckpointOptions& options) {
  std::error_code error;
  const auto status = std::filesystem::status(directory, error);
  if (!std::filesystem::exists(status)) return absl::NotFoundError(StrCat(directory, ": no such folder"));
  if (!std::filesystem::is_directory(status)) {
    return absl::NotFoundError(StrCat(directory, ": expected the folder of a model, found a file"));
  }
  GH_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(directory, "config.json"));

  ModelFolder folder;
  folder.config = ReadHfConfig(json, options, folder.problems);
  ReadGeneration(directory, options, folder);
  return folder;
}

absl::StatusOr<ModelFolder> ReadModelFolder(const std::string& directory, const CheckpointOptions& options) {
  GH_ASSIGN_OR_RETURN(ModelFolder folder, ReadFolderConfig(directory, options));
  // What config.json gets wrong would come back as missing and extra tensors.
  const bool config_good = folder.problems.empty();
  folder.files = TensorFiles::Open(directory, folder.problems);
  // Where no file could be opened, its problem stands for all that would be missing. Without any problem the
  // binding is made in every case: a folder is only good once each weight has its tensor.
  if (config_good && (!folder.files.files().empty() || folder.problems.empty())) {
    folder.binding = BindWeights(folder.config, folder.files, folder.problems);
  }
  const auto embedding = folder.binding.weights.find({WeightRole::kEmbedding});
  if (!folder.config.dtype_declared && embedding != folder.binding.weights.end()) {
    folder.config.spec.dtype = embedding->second.view.dtype;
  }
  return folder;
}

}  // namespace guildhall
