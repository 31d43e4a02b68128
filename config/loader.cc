#include "config/loader.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/keys.h"

namespace guildhall {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;
// Read elsewhere: the kernels' ISA override and main's list of files.
constexpr std::string_view kOtherVariables[] = {"GUILDHALL_ISA", "GUILDHALL_CONFIG"};

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Where a value comes from: for messages, for --check-config, and for relative paths.
struct Source {
  std::string name;    // begins messages: "demo.json", "environment GUILDHALL_BACKEND", "--set"
  std::string origin;  // "file demo.json", else as the name
  std::string folder;  // of the file; "" outside of files
};

// A part of the configuration whose members a user names: "tasks", "adapters.preload".
template <typename Owner>
struct NamedParts {
  std::string path;
  const std::vector<ConfigKey<Owner>>& (*keys)();
  std::map<std::string, Owner>& (*parts)(ServerConfig&);
  std::string Owner::*name;
  bool (*valid)(std::string_view);
  std::string rule;  // what a name is that is not valid, and should be
};

const NamedParts<TaskConfig>& TaskParts() {
  static const auto* parts =
      new NamedParts<TaskConfig>{"tasks", TaskKeys, [](ServerConfig & config) -> auto& {return config.tasks;
}
, &TaskConfig::id, ValidTaskId,
    "is no task id: expected up to 128 letters, digits and . _ : / -, beginning with a letter or digit"
};  // namespace
return *parts;
}  // namespace guildhall

const NamedParts<AdapterConfig>& AdapterParts() {
  static const auto* parts = new NamedParts<AdapterConfig>{
      "adapters.preload", AdapterKeys, [](ServerConfig & config) -> auto& {return config.adapters.preload;
}
, &AdapterConfig::name, ValidAdapterName, "is no adapter's name: expected 1 to 128 letters, digits and . _ -"
}
;
return *parts;
}

template <typename Owner>
const ConfigKey<Owner>* FindKey(const std::vector<ConfigKey<Owner>>& keys, std::string_view path) {
  const auto at = std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.path == path; });
  return at == keys.end() ? nullptr : &*at;
}

template <typename Owner>
bool IsGroup(const std::vector<ConfigKey<Owner>>& keys, std::string_view path) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const auto& key) { return StartsWith(key.path, StrCat(path, ".")); });
}

std::string Suggest(std::string_view name, std::vector<std::string> candidates, std::string_view quote) {
  const auto near = NearestName(name, candidates);
  return near ? StrCat("; did you mean ", quote, *near, quote, "?") : "";
}

// The names that may stand inside the object at `path`.
template <typename Owner>
std::vector<std::string> NamesIn(const std::vector<ConfigKey<Owner>>& keys, const std::string& path) {
  std::vector<std::string> names;
  const std::string prefix = path.empty() ? "" : path + ".";
  for (const auto& key : keys) {
    if (!StartsWith(key.path, prefix)) continue;
    names.push_back(key.path.substr(prefix.size(), key.path.find('.', prefix.size()) - prefix.size()));
  }
  if (std::is_same_v<Owner, ServerConfig> && path.empty()) names.push_back("tasks");
  if (std::is_same_v<Owner, ServerConfig> && path == "adapters") names.push_back("preload");
  return names;
}

class Loader {
 public:
  explicit Loader(LoadedConfig& loaded) : loaded_(loaded) {}

  absl::Status ApplyFile(const std::string& path) {
    GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxConfigBytes));
    JsonLimits limits;
    limits.comments = true;
    GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path, limits));
    const Source source{path, StrCat("file ", path), std::filesystem::path(path).parent_path().string()};
    return ApplyRoot(json, source);
  }

  absl::Status ApplyVariable(const std::string& name, const std::string& value) {
    const std::string where = StrCat("environment ", name);
    const Source source{where, where, ""};
    std::vector<std::string> names;
    for (const std::string& path : {TaskParts().path, AdapterParts().path}) {
      if (EnvironmentName(path) == name) {
        GH_ASSIGN_OR_RETURN(const Json json, ParseJson(value, source.name));
        return path == TaskParts().path ? ApplyParts(TaskParts(), json, source)
                                        : ApplyParts(AdapterParts(), json, source);
      }
      names.push_back(EnvironmentName(path));
    }
    for (const auto& key : ServerKeys()) {
      if (EnvironmentName(key.path) == name) return ApplyText(key, key.path, value, source, loaded_.config);
      names.push_back(EnvironmentName(key.path));
    }
    if (std::find(std::begin(kOtherVariables), std::end(kOtherVariables), name) !=
        std::end(kOtherVariables)) {
      return absl::OkStatus();
    }
    // The client commands' flags.
    if (StartsWith(name, "GUILDHALL_CLIENT_")) return absl::OkStatus();
    // Kubernetes gives such variables to every container beside a service that is called "guildhall".
    if (StartsWith(name, "GUILDHALL_SERVICE_") || StartsWith(name, "GUILDHALL_PORT")) return absl::OkStatus();
    return absl::InvalidArgumentError(
        StrCat("environment: unknown variable ", name, Suggest(name, names, "")));
  }

  absl::Status ApplyOverride(const ConfigSources::Override& override) {
    const Source source{override.origin, override.origin, ""};
    std::vector<std::string> names;
    for (const auto& key : ServerKeys()) {
      if (key.path == override.key) return ApplyText(key, key.path, override.value, source, loaded_.config);
      names.push_back(key.path);
    }
    if (InParts(TaskParts(), override.key)) return ApplyPartsText(TaskParts(), override, source);
    if (InParts(AdapterParts(), override.key)) return ApplyPartsText(AdapterParts(), override, source);
    return absl::InvalidArgumentError(
        StrCat(source.name, ": unknown key ", override.key, Suggest(override.key, names, "")));
  }

  // `path` is the place among the keys, `prefix` what comes before it in messages ("tasks.ID.").
  template <typename Owner>
  absl::Status ApplyObject(const std::vector<ConfigKey<Owner>>& keys, const Json& json,
                           const std::string& path, const std::string& prefix, const Source& source,
                           Owner& owner) {
    const std::string shown = prefix + path;
    if (!json.is_object()) {
      return absl::InvalidArgumentError(StrCat(source.name, ": ", shown, ": expected an object"));
    }
    for (const auto& [name, value] : json.items()) {
      const std::string child = path.empty() ? name : StrCat(path, ".", name);
      if (const auto* key = FindKey(keys, child)) {
        GH_RETURN_IF_ERROR(Apply(*key, prefix + child, value, source, owner));
      } else if (IsGroup(keys, child)) {
        GH_RETURN_IF_ERROR(ApplyObject(keys, value, child, prefix, source, owner));
      } else {
        const std::string quoted = DumpJson(Json(name.substr(0, 100)));
        return absl::InvalidArgumentError(StrCat(source.name, ": ", shown, shown.empty() ? "" : ": ",
                                                 "unknown key ", quoted,
                                                 Suggest(name, NamesIn(keys, path), "\"")));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ApplyRoot(const Json& json, const Source& source) {
    if (!json.is_object()) return absl::InvalidArgumentError(StrCat(source.name, ": expected an object"));
    Json rest = Json::object();
    for (const auto& [name, value] : json.items()) {
      if (name == "$schema") continue;
      if (name == "tasks") {
        GH_RETURN_IF_ERROR(ApplyParts(TaskParts(), value, source));
      } else if (name == "adapters" && value.is_object()) {
        Json others = value;
        if (value.contains("preload")) {
          GH_RETURN_IF_ERROR(ApplyParts(AdapterParts(), value["preload"], source));
          others.erase("preload");
        }
        rest[name] = std::move(others);
      } else {
        rest[name] = value;
      }
    }
    return ApplyObject(ServerKeys(), rest, "", "", source, loaded_.config);
  }

  template <typename Owner>
  absl::Status ApplyParts(const NamedParts<Owner>& parts, const Json& json, const Source& source) {
    if (!json.is_object()) {
      return absl::InvalidArgumentError(
          StrCat(source.name, ": ", parts.path, ": expected an object with one member for each name"));
    }
    for (const auto& [name, value] : json.items()) {
      GH_ASSIGN_OR_RETURN(Owner* const part, Part(parts, name, source.name));
      GH_RETURN_IF_ERROR(
          ApplyObject(parts.keys(), value, "", StrCat(parts.path, ".", name, "."), source, *part));
    }
    return absl::OkStatus();
  }

  template <typename Owner>
  static bool InParts(const NamedParts<Owner>& parts, const std::string& key) {
    return key == parts.path || StartsWith(key, parts.path + ".");
  }

  // "tasks" with a whole object, or "tasks.NAME.KEY".
  template <typename Owner>
  absl::Status ApplyPartsText(const NamedParts<Owner>& parts, const ConfigSources::Override& override,
                              const Source& source) {
    if (override.key == parts.path) {
      GH_ASSIGN_OR_RETURN(const Json json, ParseJson(override.value, StrCat(source.name, " ", parts.path)));
      return ApplyParts(parts, json, source);
    }
    const std::string rest = override.key.substr(parts.path.size() + 1);
    std::vector<std::string> names;
    for (const auto& key : parts.keys()) {
      names.push_back(StrCat(rest.substr(0, rest.find('.')), ".", key.path));
      // A name may hold dots: the key is what the path ends with.
      if (rest.size() <= key.path.size() || rest.substr(rest.size() - key.path.size() - 1) != "." + key.path)
        continue;
      GH_ASSIGN_OR_RETURN(Owner* const part,
                          Part(parts, rest.substr(0, rest.size() - key.path.size() - 1), source.name));
      return ApplyText(key, override.key, override.value, source, *part);
    }
    return absl::InvalidArgumentError(
        StrCat(source.name, ": unknown key ", override.key, Suggest(rest, names, "")));
  }

  template <typename Owner>
  absl::StatusOr<Owner*> Part(const NamedParts<Owner>& parts, const std::string& name,
                              std::string_view where) {
    if (!parts.valid(name)) {
      return absl::InvalidArgumentError(
          StrCat(where, ": ", parts.path, ": ", Quote(name, 150), " ", parts.rule));
    }
    Owner& part = parts.parts(loaded_.config)[name];
    part.*parts.name = name;
    return &part;
  }

  template <typename Owner>
  absl::Status ApplyText(const ConfigKey<Owner>& key, const std::string& path, const std::string& text,
                         const Source& source, Owner& owner) {
    GH_ASSIGN_OR_RETURN(const Json json, key.ParseText(text, StrCat(source.name, ": ", path)));
    return Apply(key, path, json, source, owner);
  }

  template <typename Owner>
  absl::Status Apply(const ConfigKey<Owner>& key, const std::string& path, const Json& value,
                     const Source& source, Owner& owner) {
    Json resolved = value;
    if (key.file && !source.folder.empty()) {
      if (value.is_string()) ResolveFile(source, resolved);
      if (value.is_array()) {
        for (Json& item : resolved) ResolveFile(source, item);
      }
    }
    GH_RETURN_IF_ERROR(key.Assign(resolved, StrCat(source.name, ": ", path), owner));
    loaded_.origins[path] = source.origin;
    return absl::OkStatus();
  }

  static void ResolveFile(const Source& source, Json& path) {
    if (!path.is_string()) return;
    const std::filesystem::path file(path.get<std::string>());
    if (file.empty() || file.is_absolute()) return;
    path = (std::filesystem::path(source.folder) / file).lexically_normal().string();
  }

  LoadedConfig& loaded_;
};

}  // namespace

template <typename Owner>
absl::StatusOr<Owner> ReadPart(const std::vector<ConfigKey<Owner>>& keys, const Json& json,
                               const std::string& what) {
  LoadedConfig ignored;
  Owner part;
  GH_RETURN_IF_ERROR(Loader(ignored).ApplyObject(keys, json, "", "", Source{what, "", ""}, part));
  return part;
}

absl::StatusOr<TaskConfig> ReadTaskConfig(const Json& json, const std::string& what) {
  return ReadPart(TaskKeys(), json, what);
}

absl::StatusOr<AdapterConfig> ReadAdapterConfig(const Json& json, const std::string& what) {
  return ReadPart(AdapterKeys(), json, what);
}

absl::StatusOr<LoadedConfig> LoadConfig(const ConfigSources& sources) {
  LoadedConfig loaded;
  Loader loader(loaded);
  for (const std::string& file : sources.files) GH_RETURN_IF_ERROR(loader.ApplyFile(file));
  for (const auto& [name, value] : sources.environment) {
    if (StartsWith(name, "GUILDHALL_")) GH_RETURN_IF_ERROR(loader.ApplyVariable(name, value));
  }
  for (const auto& override : sources.overrides) GH_RETURN_IF_ERROR(loader.ApplyOverride(override));
  GH_RETURN_IF_ERROR(CheckConfig(loaded.config));
  return loaded;
}

std::string EffectiveConfigText(const LoadedConfig& loaded) {
  struct Line {
    std::string text, origin;
  };
  std::vector<Line> lines;
  const auto add = [&](const std::string& path, const auto& key, auto owner) {
    Json value = key.Get(owner);
    if (key.secret && value.is_string() && !value.template get<std::string>().empty()) value = "***";
    const auto origin = loaded.origins.find(path);
    lines.push_back({StrCat(path, " = ", value.is_null() ? "unset" : DumpJson(value)),
                     origin == loaded.origins.end() ? "default" : origin->second});
  };
  for (const auto& key : ServerKeys()) add(key.path, key, loaded.config);
  for (const auto& [name, adapter] : loaded.config.adapters.preload) {
    for (const auto& key : AdapterKeys()) {
      add(StrCat(AdapterParts().path, ".", name, ".", key.path), key, adapter);
    }
  }
  for (const auto& [id, task] : loaded.config.tasks) {
    for (const auto& key : TaskKeys()) add(StrCat(TaskParts().path, ".", id, ".", key.path), key, task);
  }
  size_t width = 0;
  for (const Line& line : lines) width = std::max(width, std::min<size_t>(line.text.size(), 60));
  std::string text;
  for (const Line& line : lines) {
    const size_t pad = line.text.size() < width ? width - line.text.size() : 0;
    StrAppend(&text, line.text, std::string(pad, ' '), "  # ", line.origin, "\n");
  }
  return text;
}

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> variables;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view entry(*at);
    const size_t equals = entry.find('=');
    if (equals != std::string_view::npos)
      variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return variables;
}

}  // namespace guildhall
