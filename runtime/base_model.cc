#include "runtime/base_model.h"

#include <utility>

#include "base/status.h"
#include "runtime/model_plan.h"

namespace guildhall {
void ShareBudget(const BaseModel& model, EngineOptions& options) {
  options.budget = model.budget;
  options.kv_block_bytes = model.memory.kv_block_bytes;
  options.min_kv_blocks = model.memory.min_kv_blocks;
}

std::unique_ptr<WeightManager> MakeWeightManager(const BaseModel& model,
                                                 const WeightManagerOptions& options) {
  return std::make_unique<WeightManager>(model.decoder->spec(), *model.backend, model.decoder->base_experts(),
                                         model.budget, model.decoder->workspace(), options);
}

absl::StatusOr<BaseModel> LoadBaseModel(const BaseModelOptions& options, const PlanFunction& on_plan,
                                        const ProgressFunction& progress) {
  GH_ASSIGN_OR_RETURN(ModelFiles files, OpenModelFiles(options.path, options.checkpoint));
  return LoadBaseModel(options, std::move(files), on_plan, progress);
}

absl::StatusOr<BaseModel> LoadBaseModel(const BaseModelOptions& options, ModelFiles files,
                                        const PlanFunction& on_plan, const ProgressFunction& progress) {
  GH_RETURN_IF_ERROR(CheckOptions(options, files));
  BaseModel model;
  const auto plan = [&](Backend& backend) -> absl::Status {
    if (files.packed != nullptr) GH_RETURN_IF_ERROR(CheckLayouts(*files.packed, backend));
    GH_ASSIGN_OR_RETURN(AvailableMemory available, backend.memory().Available());
    GH_ASSIGN_OR_RETURN(model.memory, PlanMemory(options, files, backend, std::move(available)));
    return absl::OkStatus();
  };
  GH_ASSIGN_OR_RETURN(model.backend, MakeBackend(options.backend, plan));
  DecoderOptions decoder = DecoderOptionsOf(options, files);
  decoder.kv_blocks = model.memory.kv_blocks;
  const Checkpoint& checkpoint = *files.checkpoint;
  if (on_plan) on_plan(checkpoint.spec(), *model.backend, model.memory);
  if (files.packed != nullptr) {
    const PackedLoad load{files.packed.get(), options.map_weights, options.verify_weights};
    GH_ASSIGN_OR_RETURN(model.decoder,
                        Decoder::LoadPacked(checkpoint, load, *model.backend, decoder, progress));
  } else {
    GH_ASSIGN_OR_RETURN(model.decoder, Decoder::Load(checkpoint, *model.backend, decoder, progress));
  }
  GH_RETURN_IF_ERROR(checkpoint.CheckUnchanged());
  model.checkpoint = std::move(files.checkpoint);
  model.text = std::move(files.text);
  model.budget = std::make_shared<ByteBudget>(model.memory.shared);
  return model;
}

}  // namespace guildhall
