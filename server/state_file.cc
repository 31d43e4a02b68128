#include "server/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/keys.h"
#include "config/loader.h"
#include "config/names.h"

namespace guildhall {
namespace {

constexpr size_t kMaxStateBytes = size_t{256} << 20;
constexpr int64_t kVersion = 1;
constexpr char kVersionKey[] = "guildhall_state";

// The keys whose value is not the default, as the configuration file would have them.
template <typename Part>
Json PartJson(const std::vector<ConfigKey<Part>>& keys, Part part) {
  Json json = Json::object();
  Part defaults;
  for (const auto& key : keys) {
    const Json value = key.Get(part);
    if (value == key.Get(defaults)) continue;
    Json* at = &json;
    std::string_view path = key.path;
    for (size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
      at = &(*at)[std::string(path.substr(0, dot))];
      path.remove_prefix(dot + 1);
    }
    (*at)[std::string(path)] = value;
  }
  return json;
}

template <typename Part>
Json PartsJson(const std::vector<ConfigKey<Part>>& keys,
               const std::map<std::string, std::optional<Part>>& parts) {
  Json json = Json::object();
  for (const auto& [name, part] : parts) json[name] = part ? PartJson(keys, *part) : Json(nullptr);
  return json;
}

template <typename Part, typename Read>
absl::Status ReadParts(const JsonObject& root, const char* key, bool (*valid)(std::string_view), Read read,
                       std::string Part::*name, std::map<std::string, std::optional<Part>>& parts) {
  GH_ASSIGN_OR_RETURN(const JsonObject object, root.Object(key));
  for (const auto& [id, value] : object.json().items()) {
    if (!valid(id)) return object.Error(id.substr(0, 150), "this name is not allowed");
    auto& part = parts[id];
    if (value.is_null()) continue;
    GH_ASSIGN_OR_RETURN(part, read(value, object.Where(id)));
    (*part).*name = id;
  }
  return absl::OkStatus();
}

absl::StatusOr<RunTimeState> Parse(const std::string& path) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxStateBytes));
  JsonLimits limits;
  limits.max_bytes = kMaxStateBytes;
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path, limits));
  GH_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(json, path));
  GH_RETURN_IF_ERROR(root.Int(kVersionKey, kVersion, kVersion).status());
  RunTimeState state;
  GH_RETURN_IF_ERROR(
      ReadParts(root, "adapters", ValidAdapterName, ReadAdapterConfig, &AdapterConfig::name, state.adapters));
  GH_RETURN_IF_ERROR(ReadParts(root, "tasks", ValidTaskId, ReadTaskConfig, &TaskConfig::id, state.tasks));
  GH_RETURN_IF_ERROR(root.CheckAllRead());
  return state;
}

// A full disk passes; whoever asked may try again.
absl::Status WriteError(int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return full ? absl::ResourceExhaustedError(std::strerror(error))
              : absl::FailedPreconditionError(std::strerror(error));
}

absl::Status WriteWhole(const std::string& path, std::string_view text) {
  const auto failure = [] { return WriteError(errno); };
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
  if (fd < 0) return failure();
  absl::Status status;
  if (fchmod(fd, S_IRUSR | S_IWUSR) != 0) status = failure();
  while (status.ok() && !text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) status = failure();
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
  if (status.ok() && fsync(fd) != 0) status = failure();
  if (close(fd) != 0 && status.ok()) status = failure();
  return status;
}

// A rename is kept over a power failure once its folder has been written.
void SyncFolder(const std::string& file) {
  std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (folder.empty()) folder = ".";
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

}  // namespace

absl::StatusOr<RunTimeState> ReadStateFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 && errno == ENOENT) return RunTimeState();
  auto state = Parse(path);
  if (state.ok()) return state;
  return absl::InvalidArgumentError(
      StrCat("adapters.state_file: ", std::string(state.status().message()),
             "; mend the file, or move it away to start with the configuration alone"));
}

absl::Status WriteStateFile(const std::string& path, const RunTimeState& state) {
  Json json = Json::object();
  json[kVersionKey] = kVersion;
  json["adapters"] = PartsJson(AdapterKeys(), state.adapters);
  json["tasks"] = PartsJson(TaskKeys(), state.tasks);
  const std::string unfinished = path + ".new";
  absl::Status status = WriteWhole(unfinished, DumpJson(json, 2) + "\n");
  if (status.ok() && std::rename(unfinished.c_str(), path.c_str()) != 0) {
    status = WriteError(errno);
  }
  if (!status.ok()) {
    unlink(unfinished.c_str());
    return absl::Status(status.code(), StrCat("adapters.state_file: ", path,
                                              " cannot be written: ", std::string(status.message())));
  }
  SyncFolder(path);
  return absl::OkStatus();
}

}  // namespace guildhall
