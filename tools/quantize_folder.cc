#include "tools/quantize_folder.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/crc32c.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/model_folder.h"
#include "model/packed_folder.h"
#include "model/weight_loader.h"
#include "tools/packed_writer.h"
#include "tools/written_folder.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

// What a folder has beside its weights that is served, with the most bytes that its reader takes.
struct Copied {
  const char* name;
  size_t most;
};
constexpr size_t kMaxConfigBytes = size_t{4} << 20, kMaxTextBytes = size_t{16} << 20,
                 kMaxTemplateBytes = size_t{1} << 20;
constexpr Copied kCopied[] = {
    {"config.json", kMaxConfigBytes},           {"generation_config.json", kMaxConfigBytes},
    {"tokenizer.json", size_t{256} << 20},      {"tokenizer_config.json", kMaxTextBytes},
    {"special_tokens_map.json", kMaxTextBytes}, {"added_tokens.json", kMaxTextBytes},
    {"chat_template.jinja", kMaxTemplateBytes}, {"chat_template.json", kMaxTextBytes}};
constexpr char kTemplates[] = "additional_chat_templates";
constexpr size_t kMostTemplates = 64;
// For all that is not weights.
constexpr uint64_t kSmallFiles = uint64_t{64} << 20;

absl::Status CopyTemplates(const fs::path& from, const WrittenFolder& to) {
  std::error_code error;
  if (!fs::is_directory(from / kTemplates, error)) return absl::OkStatus();
  fs::create_directory(to.path() / kTemplates, error);
  if (error) return FileError(to.path() / kTemplates, "create", error);
  size_t count = 0;
  for (fs::directory_iterator at(from / kTemplates, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.ends_with(".jinja")) continue;
    if (++count > kMostTemplates) {
      return absl::FailedPreconditionError(StrCat((from / kTemplates).string(), ": expected at most ",
                                                  kMostTemplates, " templates, found more"));
    }
    GH_RETURN_IF_ERROR(to.CopyFile(at->path(), StrCat(kTemplates, "/", name), kMaxTemplateBytes));
  }
  return error ? FileError(from / kTemplates, "list", error) : absl::OkStatus();
}

absl::Status CopySmallFiles(const fs::path& from, const WrittenFolder& to) {
  for (const Copied& copied : kCopied) {
    std::error_code error;
    if (!fs::exists(from / copied.name, error)) continue;
    GH_RETURN_IF_ERROR(to.CopyFile(from / copied.name, copied.name, copied.most));
  }
  return CopyTemplates(from, to);
}

absl::Status CheckPlace(const fs::path& out, const Checkpoint& source, bool force) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(out, error))) return absl::OkStatus();
  if (fs::equivalent(out, source.directory(), error)) {
    return absl::InvalidArgumentError(StrCat(out.string(), ": is the folder that is read: name another one"));
  }
  const bool packed = fs::is_directory(fs::symlink_status(out, error)) && IsPackedFolder(out.string());
  if (force && packed) return absl::OkStatus();
  return absl::AlreadyExistsError(
      StrCat(out.string(), ": expected a new folder, found ",
             packed ? "a packed one: --force replaces it"
                    : "something else there, which is never replaced: remove it or choose another name"));
}

absl::Status CheckRoom(const fs::path& parent, uint64_t weight_bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(parent, error);
  if (error) return FileError(parent, "be asked for its free space", error);
  const uint64_t needed = weight_bytes + kSmallFiles;
  if (space.available >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat(parent.string(), ": expected ", needed >> 20,
                                             " MiB of free disk space, found ", space.available >> 20,
                                             " MiB: make room or name a folder on another disk"));
}

absl::StatusOr<std::vector<PackedSource>> SourcesOf(const Checkpoint& source) {
  GH_ASSIGN_OR_RETURN(const std::string config,
                      ReadSmallFile(StrCat(source.directory(), "/config.json"), kMaxConfigBytes));
  std::vector<PackedSource> sources{{"config.json", config.size(), Crc32c(std::as_bytes(std::span(config)))}};
  for (const auto& file : source.files()) {
    sources.push_back({fs::path(file->path()).filename().string(), file->size(), file->HeaderChecksum()});
  }
  return sources;
}

}  // namespace

absl::StatusOr<PackedManifest> QuantizeFolder(const Checkpoint& source, const Backend& backend,
                                              const std::string& out, const QuantizeOptions& options,
                                              const std::function<void(size_t, size_t)>& progress) {
  fs::path place = fs::absolute(out).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();
  GH_RETURN_IF_ERROR(CheckPlace(place, source, options.force));
  std::error_code error;
  if (!fs::is_directory(place.parent_path(), error)) {
    return absl::NotFoundError(StrCat(place.parent_path().string(), ": no such folder to write to"));
  }
  GH_RETURN_IF_ERROR(CheckRoom(place.parent_path(), PackedWeightBytes(source, backend, options.formats)));

  WrittenFolder folder(place);
  GH_RETURN_IF_ERROR(folder.Create());
  GH_RETURN_IF_ERROR(CopySmallFiles(source.directory(), folder));
  GH_ASSIGN_OR_RETURN(PackedManifest manifest,
                      WritePackedWeights(source, backend, options.formats,
                                         (folder.path() / kPackedWeightsFile).string(), progress));
  GH_RETURN_IF_ERROR(source.CheckUnchanged());
  manifest.tool = options.tool;
  GH_ASSIGN_OR_RETURN(manifest.sources, SourcesOf(source));
  GH_RETURN_IF_ERROR(folder.WriteText(kPackedManifestFile, FormatPackedManifest(manifest)));
  GH_RETURN_IF_ERROR(folder.TakeName());
  return manifest;
}

}  // namespace guildhall
