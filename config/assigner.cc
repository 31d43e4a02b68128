#include "config/assigner.h"

#include <algorithm>
#include <filesystem>
#include <type_traits>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

template <typename Owner>
const ConfigKey<Owner>* FindKey(const std::vector<ConfigKey<Owner>>& keys, std::string_view path) {
  const auto at = std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.path == path; });
  return at == keys.end() ? nullptr : &*at;
}

template <typename Owner>
bool IsGroup(const std::vector<ConfigKey<Owner>>& keys, std::string_view path) {
  const std::string prefix = StrCat(path, ".");
  return std::any_of(keys.begin(), keys.end(), [&](const auto& key) { return key.path.starts_with(prefix); });
}

// The names that may stand inside the object at `path`.
template <typename Owner>
std::vector<std::string> NamesIn(const std::vector<ConfigKey<Owner>>& keys, const std::string& path) {
  const std::string prefix = path.empty() ? "" : path + ".";
  std::vector<std::string> names;
  const auto add = [&](std::string_view known) {
    if (!known.starts_with(prefix)) return;
    known.remove_prefix(prefix.size());
    names.emplace_back(known.substr(0, known.find('.')));
  };
  for (const auto& key : keys) add(key.path);
  if constexpr (std::is_same_v<Owner, ServerConfig>) {
    add(kTaskParts.path);
    add(kAdapterParts.path);
  }
  return names;
}

void ResolveFile(const std::string& folder, Json& path) {
  if (!path.is_string()) return;
  const std::filesystem::path file(path.get<std::string>());
  if (file.empty() || file.is_absolute()) return;
  path = (std::filesystem::path(folder) / file).lexically_normal().string();
}

}  // namespace

std::string Suggestion(std::string_view name, const std::vector<std::string>& candidates,
                       std::string_view quote) {
  const auto near = NearestName(name, candidates);
  return near ? StrCat("; did you mean ", quote, *near, quote, "?") : "";
}

template <typename Owner>
absl::Status Assigner::Object(const std::vector<ConfigKey<Owner>>& keys, const Json& json,
                              const std::string& path, const std::string& prefix, Owner& owner) {
  const std::string shown = prefix + path;
  const std::string where = shown.empty() ? source_.name : StrCat(source_.name, ": ", shown);
  if (!json.is_object()) return absl::InvalidArgumentError(StrCat(where, ": expected an object"));
  for (const auto& [name, value] : json.items()) {
    const std::string child = path.empty() ? name : StrCat(path, ".", name);
    if constexpr (std::is_same_v<Owner, ServerConfig>) {
      if (child == "$schema") continue;
      if (const auto status = PartsAt(child, value, owner)) {
        GH_RETURN_IF_ERROR(*status);
        continue;
      }
    }
    if (const auto* key = FindKey(keys, child)) {
      GH_RETURN_IF_ERROR(Value(*key, prefix + child, value, owner));
    } else if (IsGroup(keys, child)) {
      GH_RETURN_IF_ERROR(Object(keys, value, child, prefix, owner));
    } else {
      return absl::InvalidArgumentError(StrCat(where, ": unknown key ", DumpJson(Json(name.substr(0, 100))),
                                               Suggestion(name, NamesIn(keys, path), "\"")));
    }
  }
  return absl::OkStatus();
}

template <typename Owner>
absl::Status Assigner::Parts(const NamedParts<Owner>& parts, const Json& json, ServerConfig& config) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        StrCat(source_.name, ": ", parts.path, ": expected an object with one member for each name"));
  }
  for (const auto& [name, value] : json.items()) {
    GH_ASSIGN_OR_RETURN(Owner* const member, Member(parts, name, config));
    GH_RETURN_IF_ERROR(Object(parts.keys(), value, "", StrCat(parts.path, ".", name, "."), *member));
  }
  return absl::OkStatus();
}

template <typename Owner>
absl::Status Assigner::PartText(const NamedParts<Owner>& parts, const std::string& key,
                                const std::string& text, ServerConfig& config) {
  if (key == parts.path) {
    GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, StrCat(source_.name, " ", parts.path)));
    return Parts(parts, json, config);
  }
  const std::string rest = key.substr(parts.path.size() + 1);
  std::vector<std::string> names;
  for (const auto& known : parts.keys()) {
    names.push_back(StrCat(rest.substr(0, rest.find('.')), ".", known.path));
    // A name may hold dots: the key is what the path ends with.
    const std::string ending = StrCat(".", known.path);
    if (!rest.ends_with(ending)) continue;
    GH_ASSIGN_OR_RETURN(Owner* const member,
                        Member(parts, rest.substr(0, rest.size() - ending.size()), config));
    return Text(known, key, text, *member);
  }
  return absl::InvalidArgumentError(StrCat(source_.name, ": unknown key ", key, Suggestion(rest, names, "")));
}

template <typename Owner>
absl::Status Assigner::Text(const ConfigKey<Owner>& key, const std::string& path, const std::string& text,
                            Owner& owner) {
  GH_ASSIGN_OR_RETURN(const Json json, key.ParseText(text, StrCat(source_.name, ": ", path)));
  return Value(key, path, json, owner);
}

template <typename Owner>
absl::Status Assigner::Value(const ConfigKey<Owner>& key, const std::string& path, const Json& value,
                             Owner& owner) {
  GH_RETURN_IF_ERROR(key.Assign(Resolved(key, value), StrCat(source_.name, ": ", path), owner));
  origins_[path] = source_.origin;
  return absl::OkStatus();
}

std::optional<absl::Status> Assigner::PartsAt(const std::string& path, const Json& json,
                                              ServerConfig& config) {
  return FirstOfParts([&](const auto& parts) -> std::optional<absl::Status> {
    if (path != parts.path) return std::nullopt;
    return Parts(parts, json, config);
  });
}

template <typename Owner>
absl::StatusOr<Owner*> Assigner::Member(const NamedParts<Owner>& parts, const std::string& name,
                                        ServerConfig& config) {
  if (!parts.valid(name)) {
    return absl::InvalidArgumentError(StrCat(source_.name, ": ", parts.path, ": ", Quote(name, 150),
                                             " is no ", parts.what, ": ", parts.rule));
  }
  Owner& member = parts.members(config)[name];
  member.*parts.name = name;
  return &member;
}

Json Assigner::Resolved(const KeyRules& key, const Json& value) const {
  Json resolved = value;
  if (!key.file || source_.folder.empty()) return resolved;
  if (!resolved.is_array()) ResolveFile(source_.folder, resolved);
  for (size_t i = 0; resolved.is_array() && i < resolved.size(); ++i)
    ResolveFile(source_.folder, resolved[i]);
  return resolved;
}

template absl::Status Assigner::Object(const std::vector<ConfigKey<ServerConfig>>&, const Json&,
                                       const std::string&, const std::string&, ServerConfig&);
template absl::Status Assigner::Object(const std::vector<ConfigKey<TaskConfig>>&, const Json&,
                                       const std::string&, const std::string&, TaskConfig&);
template absl::Status Assigner::Object(const std::vector<ConfigKey<AdapterConfig>>&, const Json&,
                                       const std::string&, const std::string&, AdapterConfig&);
template absl::Status Assigner::Parts(const NamedParts<TaskConfig>&, const Json&, ServerConfig&);
template absl::Status Assigner::Parts(const NamedParts<AdapterConfig>&, const Json&, ServerConfig&);
template absl::Status Assigner::PartText(const NamedParts<TaskConfig>&, const std::string&,
                                         const std::string&, ServerConfig&);
template absl::Status Assigner::PartText(const NamedParts<AdapterConfig>&, const std::string&,
                                         const std::string&, ServerConfig&);
template absl::Status Assigner::Text(const ConfigKey<ServerConfig>&, const std::string&, const std::string&,
                                     ServerConfig&);

}  // namespace guildhall
