#include "runtime/model_plan.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

absl::Status CheckAmount(std::string_view what, const std::string& text) {
  const absl::Status status = ParseMemoryAmount(text).status();
  if (status.ok()) return status;
  return absl::Status(status.code(), StrCat(what, ": ", status.message()));
}

// More than any machine has, and far from where sums leave 64 bits.
constexpr uint64_t kBoundless = uint64_t{1} << 62;

}  // namespace

DecoderOptions DecoderOptionsOf(const BaseModelOptions& options, const ModelFiles& files) {
  DecoderOptions decoder;
  decoder.max_rows = options.max_rows;
  decoder.max_outputs = std::min(options.max_outputs, options.max_rows);
  decoder.kv_format = options.kv_format;
  decoder.formats = files.packed != nullptr ? files.packed->manifest().formats : options.formats;
  return decoder;
}

absl::Status CheckAmounts(const BaseModelOptions& options) {
  GH_RETURN_IF_ERROR(CheckAmount("memory of KV cache and adapters (memory.kv, --kv)", options.kv_budget));
  return CheckAmount("device_memory", options.device_memory);
}

absl::Status CheckOptions(const BaseModelOptions& options, const ModelFiles& files) {
  GH_RETURN_IF_ERROR(CheckAmounts(options));
  if (files.packed == nullptr) {
    if (!options.map_weights) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("weights.map: ", options.path,
               " has no packed weights to map: write a folder with guildhall quantize, or drop weights.map"));
  }
  const WeightFormats& own = files.packed->manifest().formats;
  if (options.formats == WeightFormats() || options.formats == own) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      "weights: ", WeightFormatsText(options.formats), " is asked of ", options.path, ", which is packed as ",
      WeightFormatsText(own), ": drop weights.*, or name the folder that it was made of"));
}

absl::StatusOr<MemoryUse> PlanMemory(const BaseModelOptions& options, const ModelFiles& files,
                                     Backend& backend, AvailableMemory available) {
  const Checkpoint& checkpoint = *files.checkpoint;
  const DecoderOptions decoder = DecoderOptionsOf(options, files);
  DecoderMemory need = DecoderMemoryOf(checkpoint, backend, decoder);
  if (files.packed != nullptr) need.weights = files.packed->manifest().bytes;
  KvBudgetQuestion question;
  question.budget = options.kv_budget;
  GH_ASSIGN_OR_RETURN(question.available, LimitMemory(std::move(available), options.device_memory));
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

absl::Status CheckBaseModel(const BaseModelOptions& options, const ModelFiles& files,
                            std::vector<std::string>& unchecked) {
  GH_RETURN_IF_ERROR(CheckOptions(options, files));
  unchecked.push_back("whether the memory of the serving machine suffices");
  const auto backend = MakeBackend(options.backend);
  if (!backend.ok()) {
    if (!absl::IsFailedPrecondition(backend.status())) return backend.status();
    unchecked.push_back(StrCat("the model on its device: ", backend.status().message()));
    return absl::OkStatus();
  }
  if (files.packed != nullptr) {
    unchecked.push_back("the packed weights' checksums, which are compared at load");
    const absl::Status layouts = CheckLayouts(*files.packed, **backend);
    if (!layouts.ok()) {
      unchecked.push_back(StrCat("the packed tensors' sizes, which depend on the CPU: ", layouts.message()));
      return absl::OkStatus();
    }
    GH_RETURN_IF_ERROR(CheckPackedTensors(*files.checkpoint, *files.packed, **backend));
  }
  return PlanMemory(options, files, **backend, {.bytes = kBoundless, .source = "any machine"}).status();
}

}  // namespace guildhall
