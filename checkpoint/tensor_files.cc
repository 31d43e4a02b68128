#include "checkpoint/tensor_files.h"

#include <filesystem>
#include <map>
#include <set>
#include <system_error>

#include "base/json.h"
#include "base/stand_in.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::string_view kSingle = "model.safetensors", kIndex = "model.safetensors.index.json";

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

bool IsPlainShardName(std::string_view name) {
  constexpr std::string_view kEnding = ".safetensors";
  return name.size() > kEnding.size() && name.size() <= 255 && name.ends_with(kEnding) &&
         name.front() != '.' && name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

// No weights, with what the folder holds instead and what to do with it.
std::string NoWeightsText(const std::string& directory) {
  std::string text = StrCat("expected ", kSingle, " or ", kIndex, ", found neither");
  for (const std::string_view name : {kSingle, kIndex}) {
    const std::string unfinished = UnfinishedText(StrCat(directory, "/", name));
    if (!unfinished.empty()) return StrCat(text, ": ", unfinished);
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors"))
      return StrCat(text, " (but ", Quote(name), "): name it ", kSingle, ", or add the index");
    if (name.starts_with("pytorch_model") || name.ends_with(".bin")) {
      return StrCat(text, " (but ", Quote(name), "): convert the checkpoint to safetensors");
    }
    if (name.ends_with(".gguf")) return StrCat(text, " (but ", Quote(name), "): GGUF is not served");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unordered_map<std::string, std::string>> ParseShardIndex(std::string_view text) {
  JsonLimits limits;
  limits.max_bytes = size_t{256} << 20;
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, kIndex, limits));
  GH_ASSIGN_OR_RETURN(const JsonObject index, JsonObject::From(json, std::string(kIndex)));
  GH_ASSIGN_OR_RETURN(const JsonObject map, index.Object("weight_map"));
  if (map.json().empty()) {
    return absl::InvalidArgumentError(
        StrCat(kIndex, ": weight_map: expected a file for each tensor, found an empty object"));
  }
  std::unordered_map<std::string, std::string> shards;
  for (const auto& [name, file] : map.json().items()) {
    if (!file.is_string() || !IsPlainShardName(file.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(StrCat(
          kIndex, ": weight_map: ", Quote(name),
          ": expected the name of a .safetensors file in the folder itself, found ", Quote(DumpJson(file))));
    }
    shards.emplace(name, file.get<std::string>());
  }
  return shards;
}

TensorFiles TensorFiles::Open(const std::string& directory, Problems& problems) {
  TensorFiles all;
  const std::string single = StrCat(directory, "/", kSingle), index = StrCat(directory, "/", kIndex);
  if (Exists(single)) {
    if (const SafetensorsFile* file = all.OpenFile(single, problems)) all.AddTensors(*file, problems);
  } else if (Exists(index)) {
    all.OpenSharded(directory, index, problems);
  } else {
    problems.Add(absl::NotFoundError(NoWeightsText(directory)));
  }
  return all;
}

const SafetensorsFile* TensorFiles::OpenFile(const std::string& path, Problems& problems) {
  auto file = SafetensorsFile::Open(path);
  if (!file.ok()) {
    problems.Add(file.status());
    return nullptr;
  }
  files_.push_back(*std::move(file));
  return files_.back().get();
}

void TensorFiles::AddTensors(const SafetensorsFile& file, Problems& problems) {
  for (const SafetensorsEntry& entry : file.header().entries) {
    const auto [at, added] = tensors_.try_emplace(entry.name, Tensor{&file, &entry});
    if (added) continue;
    problems.Add(absl::InvalidArgumentError(StrCat(
        "tensor ", Quote(entry.name), " is in two files: ", at->second.file->path(), " and ", file.path())));
  }
}

void TensorFiles::OpenSharded(const std::string& directory, const std::string& index_path,
                              Problems& problems) {
  const auto text = ReadSmallFile(index_path, size_t{256} << 20);
  if (!text.ok()) return problems.Add(text.status());
  const auto shards = ParseShardIndex(*text);
  if (!shards.ok()) return problems.Add(shards.status());

  std::map<std::string, const SafetensorsFile*> by_name;  // ordered: the same folder gives the same messages
  for (const auto& [tensor, shard] : *shards) by_name[shard] = nullptr;
  for (auto& [name, file] : by_name) {
    file = OpenFile(StrCat(directory, "/", name), problems);
    if (file != nullptr) AddTensors(*file, problems);
  }
  // Both ways: what the index names must be in that shard, and what the shards hold must be in the index.
  constexpr size_t kMostReported = 3;
  size_t misplaced = 0;
  for (const auto& [tensor, shard] : *shards) {
    const SafetensorsFile* file = by_name[shard];
    if (file == nullptr || file->Find(tensor) != nullptr || ++misplaced > kMostReported) continue;
    const Tensor* elsewhere = Find(tensor);
    problems.Add(absl::InvalidArgumentError(
        StrCat(kIndex, ": tensor ", Quote(tensor), ": expected in ", shard, ", found ",
               elsewhere == nullptr ? "in no shard" : std::string_view(elsewhere->file->path()))));
  }
  size_t unlisted = 0;
  for (const auto& [tensor, place] : tensors_) {
    if (shards->contains(std::string(tensor)) || ++unlisted > kMostReported) continue;
    problems.Add(absl::InvalidArgumentError(
        StrCat(place.file->path(), ": tensor ", Quote(tensor), " is not in ", kIndex)));
  }
  for (const auto& [count, what] : {std::pair(misplaced, "misplaced"), std::pair(unlisted, "unlisted")}) {
    if (count > kMostReported)
      problems.Add(StrCat(kIndex, ": ", count - kMostReported, " more tensors are ", what));
  }
}

const TensorFiles::Tensor* TensorFiles::Find(std::string_view name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

}  // namespace guildhall
