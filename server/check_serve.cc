// What is wrong with a configuration, told without serving it.
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"
#include "runtime/model_plan.h"
#include "server/error_details.h"
#include "server/serve_plan.h"
#include "server/server.h"
#include "weights/compatibility.h"

namespace guildhall {
namespace {

bool Absent(const std::string& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() == std::filesystem::file_type::not_found;
}

class Check {
 public:
  Check(const ServerConfig& config, std::vector<std::string>& unchecked, std::vector<std::string>& notes)
      : config_(config), unchecked_(unchecked), notes_(notes) {}

  absl::Status Run() {
    GH_RETURN_IF_ERROR(Listeners());
    GH_ASSIGN_OR_RETURN(const ServedModelOptions model, ModelOptions(config_));
    RuleOutAbsent();
    if (Absent(config_.model.path)) {
      unchecked_.push_back(StrCat("model.path: ", config_.model.path, " is not on this machine: the model, ",
                                  "and what tasks and adapters need of it"));
      return CheckWithoutModel(model.base);
    }
    GH_ASSIGN_OR_RETURN(const ServePlan plan, PlanServe(config_));
    notes_ = plan.files.notes;
    GH_RETURN_IF_ERROR(CheckBaseModel(plan.model.base, plan.files, unchecked_));
    return Adapters(plan);
  }

 private:
  absl::Status Listeners() {
    unchecked_.push_back(
        StrCat("whether ", config_.server.listen, " and ", config_.admin.listen, " can be listened on"));
    for (const TlsConfig* tls : {&config_.server.tls, &config_.admin.tls}) {
      if (tls->enabled()) unchecked_.push_back(StrCat("the certificate and key of ", tls->certificate));
    }
    if (!config_.admin.enabled) return absl::OkStatus();
    if (!config_.admin.token_file.empty() && Absent(config_.admin.token_file)) {
      unchecked_.push_back(StrCat("admin.token_file: ", config_.admin.token_file, " is not on this machine"));
      return absl::OkStatus();
    }
    return AdminToken(config_.admin).status();
  }

  // What hangs on a root that is not here cannot be looked at; the rest of the configuration can.
  void RuleOutAbsent() {
    for (const std::string& root : config_.adapters.roots) {
      if (!Absent(root)) continue;
      unchecked_.push_back(StrCat("adapters.roots: ", root, " is not on this machine: the adapters"));
      config_.adapters.roots.clear();
      config_.adapters.preload.clear();
      return;
    }
  }

  absl::Status CheckWithoutModel(const BaseModelOptions& base) const {
    GH_RETURN_IF_ERROR(CheckAmounts(base));
    GH_RETURN_IF_ERROR(AdapterRoots::Open(config_.adapters.roots).status());
    if (config_.adapters.state_file.empty()) return absl::OkStatus();
    return ReadStateFile(config_.adapters.state_file).status();
  }

  absl::Status Adapters(const ServePlan& plan) const {
    const AdapterCatalog catalog(
        config_.adapters, plan.deployment.roots, nullptr,
        [&plan](const std::string& directory, const AdapterFolderOptions& options) {
          return OpenAdapterFolder(directory, *plan.files.checkpoint, options);
        },
        TextRules(config_, plan.deployment.text, plan.files.defaults, plan.files.end_tokens,
                  plan.files.checkpoint->spec().vocabulary));
    std::map<std::string, AdapterChanges> changes;
    std::map<std::string, std::shared_ptr<const AdapterText>> texts;
    std::set<std::string> waived;
    for (const auto& [name, adapter] : config_.adapters.preload) {
      if (plan.deployment.state.adapters.contains(name)) continue;  // replaced or taken away at run time
      const auto manifest = catalog.Manifest(adapter);
      if (!manifest.ok()) {
        return WithMessage(manifest.status(),
                           StrCat("adapters.preload.", name, ": ", manifest.status().message()));
      }
      changes.emplace(name, ChangesOf(*manifest));
      texts.emplace(name, TextOf(manifest->companion));
      waived.insert(manifest->waived.begin(), manifest->waived.end());
      for (const std::string& note : manifest->notes) notes_.push_back(StrCat("adapter ", name, ": ", note));
    }
    for (std::string& line : IdleWaivers(config_.adapters, waived)) notes_.push_back(std::move(line));
    for (const auto& [id, task] : config_.tasks) {
      std::vector<ChosenAdapter> chosen;
      for (const TaskAdapter& adapter : task.adapters) {
        const auto at = changes.find(adapter.name);
        if (at != changes.end())
          chosen.push_back({adapter.name, static_cast<float>(adapter.scale), &at->second});
      }
      const absl::Status together = CheckTogether(chosen);
      if (!together.ok()) {
        return WithMessage(together, StrCat(TaskKey(id), ".adapters: ", together.message()));
      }
    }
    return Texts(*plan.deployment.tasks, texts);
  }

  // Of the tasks that are served by the text side of an adapter's folder.
  static absl::Status Texts(const TaskRegistry& tasks,
                            const std::map<std::string, std::shared_ptr<const AdapterText>>& texts) {
    const auto snapshot = tasks.Snapshot();
    for (const auto& [id, task] : *snapshot) {
      if (task->adapters.size() != 1) continue;
      const auto text = texts.find(task->adapters.front().name);
      if (text == texts.end()) continue;
      GH_RETURN_IF_ERROR(tasks.CheckText(*task, text->second.get(), TaskKey(id)));
    }
    return absl::OkStatus();
  }

  ServerConfig config_;
  std::vector<std::string>& unchecked_;
  std::vector<std::string>& notes_;
};

}  // namespace

absl::Status CheckServe(const ServerConfig& config, std::vector<std::string>& unchecked,
                        std::vector<std::string>& notes) {
  return Check(config, unchecked, notes).Run();
}

}  // namespace guildhall
