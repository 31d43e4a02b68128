#include "server/config_loader.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/config_keys.h"
#include "server/listen_address.h"

namespace guildhall {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;
constexpr std::string_view kTasksPrefix = "tasks.";
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

bool ValidTaskId(std::string_view id) {
  if (id.size() > 128) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    const char c = id[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool mark = c == '.' || c == '_' || c == ':' || c == '/' || c == '-';
    if (!letter && !(mark && i > 0)) return false;
  }
  return true;
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
    if (name == "GUILDHALL_TASKS") {
      GH_ASSIGN_OR_RETURN(const Json json, ParseJson(value, source.name));
      return ApplyTasks(json, source);
    }
    std::vector<std::string> names = {"GUILDHALL_TASKS"};
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
    if (override.key == "tasks") {
      GH_ASSIGN_OR_RETURN(const Json json, ParseJson(override.value, StrCat(source.name, " tasks")));
      return ApplyTasks(json, source);
    }
    if (StartsWith(override.key, kTasksPrefix)) {
      const std::string rest = override.key.substr(kTasksPrefix.size());
      for (const auto& key : TaskKeys()) {
        // A task id may hold dots: the key is what the path ends with.
        if (rest.size() <= key.path.size() ||
            rest.substr(rest.size() - key.path.size() - 1) != "." + key.path)
          continue;
        const std::string id = rest.substr(0, rest.size() - key.path.size() - 1);
        GH_ASSIGN_OR_RETURN(TaskConfig* const task, Task(id, source.name));
        return ApplyText(key, override.key, override.value, source, *task);
      }
      for (const auto& key : TaskKeys())
        names.push_back(StrCat(rest.substr(0, rest.find('.')), ".", key.path));
      return absl::InvalidArgumentError(
          StrCat(source.name, ": unknown key ", override.key, Suggest(rest, names, "")));
    }
    return absl::InvalidArgumentError(
        StrCat(source.name, ": unknown key ", override.key, Suggest(override.key, names, "")));
  }

 private:
  absl::Status ApplyRoot(const Json& json, const Source& source) {
    if (!json.is_object()) return absl::InvalidArgumentError(StrCat(source.name, ": expected an object"));
    Json rest = Json::object();
    for (const auto& [name, value] : json.items()) {
      if (name == "$schema") continue;
      if (name == "tasks") {
        GH_RETURN_IF_ERROR(ApplyTasks(value, source));
      } else {
        rest[name] = value;
      }
    }
    return ApplyObject(ServerKeys(), rest, "", "", source, loaded_.config);
  }

  absl::Status ApplyTasks(const Json& json, const Source& source) {
    if (!json.is_object()) {
      return absl::InvalidArgumentError(
          StrCat(source.name, ": tasks: expected an object with one member per task"));
    }
    for (const auto& [id, value] : json.items()) {
      GH_ASSIGN_OR_RETURN(TaskConfig* const task, Task(id, source.name));
      GH_RETURN_IF_ERROR(ApplyObject(TaskKeys(), value, "", StrCat(kTasksPrefix, id, "."), source, *task));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<TaskConfig*> Task(const std::string& id, std::string_view where) {
    if (!ValidTaskId(id)) {
      return absl::InvalidArgumentError(StrCat(where, ": tasks: ", DumpJson(Json(id.substr(0, 150))),
                                               " is no task id: expected up to 128 letters, digits and . _ : "
                                               "/ -, beginning with a letter or digit"));
    }
    TaskConfig& task = loaded_.config.tasks[id];
    task.id = id;
    return &task;
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
    if (key.file && value.is_string() && !source.folder.empty()) {
      const std::filesystem::path file(value.get<std::string>());
      if (!file.empty() && file.is_relative()) {
        resolved = (std::filesystem::path(source.folder) / file).lexically_normal().string();
      }
    }
    GH_RETURN_IF_ERROR(key.Assign(resolved, StrCat(source.name, ": ", path), owner));
    loaded_.origins[path] = source.origin;
    return absl::OkStatus();
  }

  LoadedConfig& loaded_;
};

absl::Status CheckTls(std::string_view name, const TlsConfig& tls) {
  if (tls.certificate.empty() != tls.key.empty()) {
    return absl::InvalidArgumentError(StrCat(name, ".tls: certificate and key belong together, only ",
                                             tls.key.empty() ? "certificate" : "key", " is set"));
  }
  if (!tls.client_ca.empty() && !tls.enabled()) {
    return absl::InvalidArgumentError(
        StrCat(name, ".tls.client_ca needs ", name, ".tls.certificate and key"));
  }
  return absl::OkStatus();
}

absl::Status CheckAdmin(const AdminConfig& admin) {
  GH_RETURN_IF_ERROR(CheckTls("admin", admin.tls));
  if (!admin.enabled) return absl::OkStatus();
  if (!admin.token.empty() && !admin.token_file.empty()) {
    return absl::InvalidArgumentError("admin.token and admin.token_file exclude each other");
  }
  GH_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(admin.listen, "admin.listen"));
  const bool token = !admin.token.empty() || !admin.token_file.empty();
  if (address.local() || admin.tls.mutual() || (token && admin.tls.enabled())) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("admin.listen: ", admin.listen, " can be reached from other machines, ",
             token ? "where the token would travel in clear text" : "and nothing guards it",
             "; listen on 127.0.0.1 or unix:PATH, or set admin.tls with a token or with client_ca"));
}

absl::Status CheckTask(const TaskConfig& task) {
  const std::string where = StrCat("tasks.", task.id.empty() ? "\"\"" : task.id, ": ");
  if (!task.adapter.empty()) {
    return absl::InvalidArgumentError(StrCat(where, "adapter is reserved: this version serves no adapters"));
  }
  if (!task.chat_template.empty() && !task.chat_template_file.empty()) {
    return absl::InvalidArgumentError(
        StrCat(where, "chat_template and chat_template_file exclude each other"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckConfig(const ServerConfig& config) {
  GH_RETURN_IF_ERROR(CheckTls("server", config.server.tls));
  GH_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(config.server.listen, "server.listen"));
  GH_RETURN_IF_ERROR(CheckAdmin(config.admin));
  if (config.admin.enabled && config.admin.listen == config.server.listen && !address.any_port()) {
    return absl::InvalidArgumentError(
        StrCat("admin.listen and server.listen are the same, ", config.admin.listen, "; each needs its own"));
  }
  if (config.engine.prefill_chunk > config.engine.token_budget) {
    return absl::InvalidArgumentError(StrCat("engine.prefill_chunk (", config.engine.prefill_chunk,
                                             ") is above engine.token_budget (", config.engine.token_budget,
                                             ")"));
  }
  if (config.engine.max_running > config.engine.token_budget) {
    return absl::InvalidArgumentError(StrCat("engine.max_running (", config.engine.max_running,
                                             ") is above engine.token_budget (", config.engine.token_budget,
                                             "): every running sequence needs a row of the step"));
  }
  for (const auto& [id, task] : config.tasks) GH_RETURN_IF_ERROR(CheckTask(task));
  return absl::OkStatus();
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
  for (const auto& [id, task] : loaded.config.tasks) {
    for (const auto& key : TaskKeys()) add(StrCat(kTasksPrefix, id, ".", key.path), key, task);
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
