#include "tools/quantize_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
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

namespace guildhall {
namespace {

namespace fs = std::filesystem;

// What a folder has beside its weights that is served.
constexpr const char* kCopied[] = {
    "config.json",           "generation_config.json",  "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja",   "chat_template.json",      "additional_chat_templates"};
constexpr size_t kMaxConfigBytes = size_t{4} << 20;
// For all that is not weights.
constexpr uint64_t kSmallFiles = uint64_t{64} << 20;

absl::Status FileError(const fs::path& path, std::string_view what, const std::error_code& error) {
  const std::string text = StrCat(path.string(), ": cannot ", what, ": ", error.message());
  return error == std::errc::no_space_on_device ? absl::ResourceExhaustedError(text)
                                                : absl::FailedPreconditionError(text);
}

// A folder under a name of its own that goes unless it is kept.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const fs::path& beside) : path_(StrCat(beside.string(), ".writing-", getpid())) {}
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  absl::Status Create() {
    std::error_code error;
    fs::remove_all(path_, error);
    fs::create_directory(path_, error);
    return error ? FileError(path_, "create", error) : absl::OkStatus();
  }
  const fs::path& path() const { return path_; }
  void Keep() { path_.clear(); }

 private:
  fs::path path_;
};

// Makes a file or a folder durable.
absl::Status Sync(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::FailedPreconditionError(StrCat(path.string(), ": ", std::strerror(errno)));
  const bool synced = fsync(fd) == 0 || errno == EINVAL;
  close(fd);
  return synced ? absl::OkStatus()
                : absl::FailedPreconditionError(StrCat(path.string(), ": cannot be made durable"));
}

absl::Status WriteText(const fs::path& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return FileError(path, "create", std::error_code(errno, std::generic_category()));
  size_t done = 0;
  int error = 0;
  while (done < text.size() && error == 0) {
    const ssize_t written = write(fd, text.data() + done, text.size() - done);
    if (written > 0) {
      done += static_cast<size_t>(written);
    } else if (errno != EINTR) {
      error = written < 0 ? errno : EIO;
    }
  }
  if (error == 0 && fsync(fd) != 0) error = errno;
  close(fd);
  return error == 0 ? absl::OkStatus()
                    : FileError(path, "write", std::error_code(error, std::generic_category()));
}

absl::Status CopySmallFiles(const fs::path& from, const fs::path& to) {
  for (const char* name : kCopied) {
    std::error_code error;
    if (!fs::exists(from / name, error)) continue;
    fs::copy(from / name, to / name, fs::copy_options::recursive, error);
    if (error) return FileError(from / name, "copy", error);
  }
  for (const fs::directory_entry& copied : fs::recursive_directory_iterator(to))
    GH_RETURN_IF_ERROR(Sync(copied));
  return absl::OkStatus();
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

// The new folder takes the name; one that is there goes once the new one stands.
absl::Status TakeName(TemporaryFolder& folder, const fs::path& out) {
  std::error_code error;
  const fs::path old = StrCat(folder.path().string(), "-replaced");
  const bool replaces = fs::exists(out, error);
  if (replaces) {
    fs::rename(out, old, error);
    if (error) return FileError(out, "rename", error);
  }
  fs::rename(folder.path(), out, error);
  if (error) {
    std::error_code ignored;
    if (replaces) fs::rename(old, out, ignored);
    return FileError(out, "give the new folder its name", error);
  }
  folder.Keep();
  if (replaces) fs::remove_all(old, error);
  return Sync(out.parent_path());
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

  TemporaryFolder folder(place);
  GH_RETURN_IF_ERROR(folder.Create());
  GH_RETURN_IF_ERROR(CopySmallFiles(source.directory(), folder.path()));
  GH_ASSIGN_OR_RETURN(PackedManifest manifest,
                      WritePackedWeights(source, backend, options.formats,
                                         (folder.path() / kPackedWeightsFile).string(), progress));
  GH_RETURN_IF_ERROR(source.CheckUnchanged());
  manifest.tool = options.tool;
  GH_ASSIGN_OR_RETURN(manifest.sources, SourcesOf(source));
  GH_RETURN_IF_ERROR(WriteText(folder.path() / kPackedManifestFile, FormatPackedManifest(manifest)));
  GH_RETURN_IF_ERROR(Sync(folder.path()));
  GH_RETURN_IF_ERROR(TakeName(folder, place));
  return manifest;
}

}  // namespace guildhall
