#include "runtime/served_model.h"

#include <filesystem>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<ServedModel>> ServedModel::Load(const ServedModelOptions& options,
                                                               ModelFiles files, const PlanFunction& on_plan,
                                                               const ProgressFunction& progress) {
  std::unique_ptr<ServedModel> served(new ServedModel(options));
  GH_ASSIGN_OR_RETURN(served->base_, LoadBaseModel(options.base, std::move(files), on_plan, progress));
  WeightManagerOptions manager;
  manager.max_rows = options.base.max_rows;
  manager.load_threads = options.load_threads;
  manager.room_wait = options.room_wait;
  manager.shut_off_after = options.shut_off_after;
  if (options.experts_as_base) manager.formats = served->base_.memory.formats;
  served->weights_ = MakeWeightManager(served->base_, manager);
  served->profile_.Start(served->base_);
  return served;
}

ModelInfo ServedModel::Info() const {
  std::filesystem::path folder = std::filesystem::path(path_).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  ModelInfo info;
  info.name = folder.filename().string();
  info.architecture = spec().architecture;
  info.dtype = std::string(DTypeName(spec().dtype));
  info.backend = base_.backend->Describe();
  info.device_products = DeviceProductsName(products_);
  info.vocabulary = spec().vocabulary;
  info.context_tokens = spec().max_positions;
  info.layers = static_cast<int64_t>(spec().layers.size());
  info.experts = spec().gate.experts;
  info.experts_per_token = spec().gate.k;
  return info;
}

std::vector<MemoryItem> ServedModel::MemoryItems() const {
  const MemoryUse& memory = base_.memory;
  return {{"weights", memory.weights,
           StrCat("packed for the back end, formats ", WeightFormatsText(memory.formats))},
          {"step", memory.step, "activations and logits"},
          {"KV cache and adapters", memory.shared, memory.text}};
}

absl::StatusOr<std::unique_ptr<AdapterSource>> ServedModel::OpenAdapter(
    const std::string& directory, const AdapterFolderOptions& options) const {
  return OpenAdapterFolder(directory, *base_.checkpoint, options);
}

void ServedModel::AddTo(EngineOptions& options) {
  ShareBudget(base_, options);
  profile_.AddTo(options);
}

}  // namespace guildhall
