#include "config/loader.h"

#include <filesystem>

#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/assigner.h"
#include "config/environment.h"

namespace guildhall {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;

absl::Status ApplyFile(const std::string& path, LoadedConfig& loaded) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxConfigBytes));
  JsonLimits limits;
  limits.comments = true;
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path, limits));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  Assigner assigner({path, StrCat("file ", path), folder}, loaded.origins);
  return assigner.Object(ServerKeys(), json, "", "", loaded.config);
}

absl::Status ApplyVariable(const std::string& name, const std::string& value, LoadedConfig& loaded) {
  const std::string where = StrCat("environment ", name);
  Assigner assigner({where, where, ""}, loaded.origins);
  std::vector<std::string> names;
  const auto is = [&](std::string_view path) {
    names.push_back(EnvironmentName(path));
    return names.back() == name;
  };
  const auto part = FirstOfParts([&](const auto& parts) -> std::optional<absl::Status> {
    if (!is(parts.path)) return std::nullopt;
    const auto json = ParseJson(value, where);
    return json.ok() ? assigner.Parts(parts, *json, loaded.config) : json.status();
  });
  if (part) return *part;
  for (const auto& key : ServerKeys()) {
    if (is(key.path)) return assigner.Text(key, key.path, value, loaded.config);
  }
  // Every container of a namespace has such variables of every service there.
  if (IsServiceVariable(name, value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("environment: unknown variable ", name, Suggestion(name, names, "")));
}

absl::Status ApplyOverride(const ConfigSources::Override& override, LoadedConfig& loaded) {
  Assigner assigner({override.origin, override.origin, ""}, loaded.origins);
  std::vector<std::string> names;
  for (const auto& key : ServerKeys()) {
    if (key.path == override.key) return assigner.Text(key, key.path, override.value, loaded.config);
    names.push_back(key.path);
  }
  const auto part = FirstOfParts([&](const auto& parts) -> std::optional<absl::Status> {
    if (override.key != parts.path && !override.key.starts_with(StrCat(parts.path, "."))) return std::nullopt;
    return assigner.PartText(parts, override.key, override.value, loaded.config);
  });
  if (part) return *part;
  return absl::InvalidArgumentError(
      StrCat(override.origin, ": unknown key ", override.key, Suggestion(override.key, names, "")));
}

template <typename Owner>
absl::StatusOr<Owner> ReadPart(const std::vector<ConfigKey<Owner>>& keys, const Json& json,
                               const std::string& what) {
  std::map<std::string, std::string> origins;
  Owner part;
  GH_RETURN_IF_ERROR(Assigner({what, "", ""}, origins).Object(keys, json, "", "", part));
  return part;
}

}  // namespace

absl::StatusOr<TaskConfig> ReadTaskConfig(const Json& json, const std::string& what) {
  return ReadPart(TaskKeys(), json, what);
}

absl::StatusOr<AdapterConfig> ReadAdapterConfig(const Json& json, const std::string& what) {
  return ReadPart(AdapterKeys(), json, what);
}

absl::StatusOr<LoadedConfig> LoadConfig(const ConfigSources& sources) {
  LoadedConfig loaded;
  for (const std::string& file : sources.files) GH_RETURN_IF_ERROR(ApplyFile(file, loaded));
  for (const auto& [name, value] : sources.environment) {
    if (IsConfigVariable(name)) GH_RETURN_IF_ERROR(ApplyVariable(name, value, loaded));
  }
  for (const auto& override : sources.overrides) GH_RETURN_IF_ERROR(ApplyOverride(override, loaded));
  GH_RETURN_IF_ERROR(CheckConfig(loaded.config));
  return loaded;
}

}  // namespace guildhall
