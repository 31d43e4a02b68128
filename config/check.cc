// What one key alone cannot tell.
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/listen_address.h"
#include "config/loader.h"
#include "config/step_target.h"
#include "kernels/device_name.h"

namespace guildhall {
namespace {

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

// Each listener has an address of its own.
absl::Status CheckAddresses(const ServerConfig& config) {
  std::vector<std::pair<std::string_view, std::string_view>> listeners = {
      {"server.listen", config.server.listen}};
  if (config.admin.enabled) listeners.emplace_back("admin.listen", config.admin.listen);
  if (!config.http.listen.empty()) listeners.emplace_back("http.listen", config.http.listen);
  for (size_t i = 0; i < listeners.size(); ++i) {
    const auto& [key, text] = listeners[i];
    GH_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(text, key));
    for (size_t other = 0; other < i; ++other) {
      if (listeners[other].second != text || address.any_port()) continue;
      return absl::InvalidArgumentError(
          StrCat(key, " and ", listeners[other].first, " are the same, ", text, "; each needs its own"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTask(const TaskConfig& task, const std::map<std::string, AdapterConfig>& preload) {
  const std::string where = StrCat("tasks.", task.id.empty() ? "\"\"" : task.id, ": ");
  if (!task.chat_template.empty() && !task.chat_template_file.empty()) {
    return absl::InvalidArgumentError(
        StrCat(where, "chat_template and chat_template_file exclude each other"));
  }
  if (task.id.empty() && !task.adapters.empty()) {
    return absl::InvalidArgumentError(
        StrCat(where, "adapters: the base has none by its nature; give the task an id"));
  }
  for (const TaskAdapter& adapter : task.adapters) {
    if (preload.contains(adapter.name)) continue;
    std::vector<std::string> names;
    names.reserve(preload.size());
    for (const auto& [name, unused] : preload) names.push_back(name);
    const auto near = NearestName(adapter.name, names);
    return absl::InvalidArgumentError(StrCat(where, "adapters: there is no adapters.preload.", adapter.name,
                                             near ? StrCat("; did you mean ", *near, "?") : ""));
  }
  return absl::OkStatus();
}

absl::Status CheckAdapters(const AdaptersConfig& adapters) {
  for (const auto& [name, adapter] : adapters.preload) {
    if (adapter.path.empty()) {
      return absl::InvalidArgumentError(
          StrCat("adapters.preload.", name, ".path is not set: expected a folder below adapters.roots"));
    }
  }
  if (!adapters.preload.empty() && adapters.roots.empty()) {
    return absl::InvalidArgumentError(
        "adapters.roots is not set: expected the directories that the paths of adapters.preload are relative "
        "to");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckConfig(const ServerConfig& config) {
  GH_RETURN_IF_ERROR(ParseDeviceName(config.device).status());
  GH_RETURN_IF_ERROR(CheckTls("server", config.server.tls));
  GH_RETURN_IF_ERROR(CheckTls("http", config.http.tls));
  GH_RETURN_IF_ERROR(CheckAdmin(config.admin));
  GH_RETURN_IF_ERROR(CheckAddresses(config));
  if (!config.http.model_name.empty() && config.tasks.contains(config.http.model_name)) {
    return absl::InvalidArgumentError(
        StrCat("http.model_name: ", config.http.model_name, " is a task; the base needs another name"));
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
  GH_RETURN_IF_ERROR(ParseStepTarget(config.engine.target_step_ms).status());
  const SpeculationConfig& speculation = config.engine.speculation;
  if (speculation.min_ngram > speculation.max_ngram) {
    return absl::InvalidArgumentError(StrCat("engine.speculation.min_ngram (", speculation.min_ngram,
                                             ") is above engine.speculation.max_ngram (",
                                             speculation.max_ngram, ")"));
  }
  if (config.memory.page_bytes % 4096 != 0) {
    return absl::InvalidArgumentError(
        StrCat("memory.page_bytes: expected a multiple of 4096, found ", config.memory.page_bytes));
  }
  GH_RETURN_IF_ERROR(CheckAdapters(config.adapters));
  for (const auto& [id, task] : config.tasks) {
    GH_RETURN_IF_ERROR(CheckTask(task, config.adapters.preload));
  }
  return absl::OkStatus();
}

}  // namespace guildhall
