#include "commands/local_adapters.h"

#include <algorithm>
#include <utility>

#include "adapters/adapter_folder.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

absl::StatusOr<std::vector<NamedFolder>> ParseNamedFolders(const std::vector<std::string>& flags) {
  std::vector<NamedFolder> folders;
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == flag.size()) {
      return absl::InvalidArgumentError(StrCat("--adapter: expected NAME=DIR, found \"", flag, "\""));
    }
    NamedFolder folder{flag.substr(0, equals), flag.substr(equals + 1)};
    if (std::any_of(folders.begin(), folders.end(),
                    [&](const auto& other) { return other.name == folder.name; })) {
      return absl::InvalidArgumentError(StrCat("--adapter: ", folder.name, " is given twice"));
    }
    folders.push_back(std::move(folder));
  }
  return folders;
}

std::unique_ptr<WeightManager> MakeLocalManager(const BaseModel& model) {
  WeightManagerOptions options;
  options.max_rows = model.decoder->max_rows();
  options.formats = model.memory.formats;
  return MakeWeightManager(model, options);
}

absl::Status LoadFolders(WeightManager& manager, const BaseModel& model,
                         const std::vector<NamedFolder>& folders,
                         const std::vector<std::string>& ignore_config_keys) {
  AdapterFolderOptions options;
  options.ignore_config_keys = ignore_config_keys;
  for (const NamedFolder& folder : folders) {
    LoadRequest request;
    request.name = folder.name;
    request.source = folder.directory;
    request.open = [&] { return OpenAdapterFolder(folder.directory, *model.checkpoint, options); };
    GH_RETURN_IF_ERROR(manager.Load(request).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const AdapterSet>> AcquireFor(WeightManager& manager,
                                                             const TokenSequence& sequence) {
  std::vector<AdapterUse> uses;
  if (!sequence.task.empty()) uses.push_back({sequence.task, 1.0f});
  for (const TokenSequence::Use& use : sequence.adapters) uses.push_back({use.name, use.scale});
  return manager.Acquire(uses, absl::InfiniteFuture());
}

}  // namespace guildhall
