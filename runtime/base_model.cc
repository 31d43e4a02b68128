#include "runtime/base_model.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/model_folder.h"

namespace guildhall {
namespace {

absl::StatusOr<MemoryUse> PlanMemory(const BaseModelOptions& options, const Checkpoint& checkpoint,
                                     Backend& backend, const DecoderOptions& decoder,
                                     const PackedFolder* packed) {
  DecoderMemory need = DecoderMemoryOf(checkpoint, backend, decoder);
  if (packed != nullptr) need.weights = packed->manifest().bytes;
  KvBudgetQuestion question;
  question.budget = options.kv_budget;
  GH_ASSIGN_OR_RETURN(question.available, backend.memory().Available());
  GH_ASSIGN_OR_RETURN(question.available, LimitMemory(std::move(question.available), options.device_memory));
  question.weights = need.weights;
  question.step = need.step;
  question.block_bytes = KvBytesPerBlock(checkpoint.spec(), backend, options.kv_format);
  question.context = checkpoint.spec().max_positions;
  question.max_sequences = options.max_sequences;
  question.must_hold = options.must_hold;
  GH_ASSIGN_OR_RETURN(const KvBudget budget, PlanKvBudget(question));
  MemoryUse use;
  use.formats = decoder.formats;
  use.weights = need.weights;
  use.step = need.step;
  use.shared = budget.total;
  use.kv = budget.bytes;
  use.kv_blocks = budget.blocks;
  use.min_kv_blocks = budget.min_blocks;
  use.kv_block_bytes = question.block_bytes;
  use.text = budget.text;
  return use;
}

// The folder's packed weights; null for a checkpoint.
absl::StatusOr<std::unique_ptr<PackedFolder>> OpenPacked(const BaseModelOptions& options) {
  if (!IsPackedFolder(options.path)) {
    if (!options.map_weights) return nullptr;
    return absl::FailedPreconditionError(
        StrCat("weights.map: ", options.path,
               " has no packed weights to map: write a folder with guildhall quantize, or drop weights.map"));
  }
  GH_ASSIGN_OR_RETURN(auto packed, PackedFolder::Open(options.path));
  const WeightFormats& own = packed->manifest().formats;
  if (options.formats == WeightFormats() || options.formats == own) return packed;
  return absl::FailedPreconditionError(StrCat(
      "weights: ", WeightFormatsText(options.formats), " is asked of ", options.path, ", which is packed as ",
      WeightFormatsText(own), ": drop weights.*, or name the folder that it was made of"));
}

absl::StatusOr<std::unique_ptr<Checkpoint>> OpenCheckpoint(const BaseModelOptions& options,
                                                           const PackedFolder* packed) {
  if (packed == nullptr) return Checkpoint::Open(options.path, options.checkpoint);
  const PackedManifest& manifest = packed->manifest();
  return Checkpoint::OpenPacked(options.path, options.checkpoint, manifest.dtype, manifest.tensors.size());
}

}  // namespace

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
  BaseModel model;
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<PackedFolder> packed, OpenPacked(options));
  GH_ASSIGN_OR_RETURN(model.checkpoint, OpenCheckpoint(options, packed.get()));
  const Checkpoint& checkpoint = *model.checkpoint;
  DecoderOptions decoder;
  decoder.max_rows = options.max_rows;
  decoder.max_outputs = std::min(options.max_outputs, options.max_rows);
  decoder.kv_format = options.kv_format;
  decoder.formats = packed != nullptr ? packed->manifest().formats : options.formats;
  const auto plan = [&](Backend& backend) -> absl::Status {
    if (packed != nullptr) GH_RETURN_IF_ERROR(CheckLayouts(*packed, backend));
    GH_ASSIGN_OR_RETURN(model.memory, PlanMemory(options, checkpoint, backend, decoder, packed.get()));
    return absl::OkStatus();
  };
  GH_ASSIGN_OR_RETURN(model.backend, MakeBackend(options.backend, plan));
  decoder.kv_blocks = model.memory.kv_blocks;
  if (on_plan) on_plan(checkpoint.spec(), *model.backend, model.memory);
  if (packed != nullptr) {
    const PackedLoad load{packed.get(), options.map_weights, options.verify_weights};
    GH_ASSIGN_OR_RETURN(model.decoder,
                        Decoder::LoadPacked(checkpoint, load, *model.backend, decoder, progress));
  } else {
    GH_ASSIGN_OR_RETURN(model.decoder, Decoder::Load(checkpoint, *model.backend, decoder, progress));
  }
  GH_RETURN_IF_ERROR(checkpoint.CheckUnchanged());
  model.budget = std::make_shared<ByteBudget>(model.memory.shared);
  return model;
}

}  // namespace guildhall
