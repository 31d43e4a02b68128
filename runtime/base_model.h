// The base model ready to serve: folder, back end, decoder and memory budget, with what each of them costs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "kernels/make_backend.h"
#include "model/decoder.h"
#include "runtime/memory_budget.h"
#include "runtime/model_files.h"
#include "weights/byte_budget.h"
#include "weights/weight_manager.h"

namespace guildhall {

struct BaseModelOptions {
  std::string path;  // a Hugging Face folder, or one that QuantizeFolder() wrote
  CheckpointOptions checkpoint;
  BackendOptions backend;
  WeightFormats formats;               // of a packed folder: its own, or unset
  bool map_weights = false;            // packed folders: serve from the mapped file, without a copy
  bool verify_weights = true;          // packed folders that are mapped: compare their checksums at load
  std::string device_memory = "auto";  // that may be taken of what is free: a MemoryAmount, "auto" is all
  std::string kv_budget = "auto";      // of KV cache and adapters together; see MemoryAmount
  std::optional<KvFormat> kv_format;   // unset: as the model's DefaultKvFormat()
  int64_t max_rows = 512;              // of one step
  int64_t max_sequences = 64;          // that run at a time
  int64_t max_outputs = 64;            // logit rows of one step
  int64_t must_hold = 0;               // tokens of one sequence that the KV cache must hold; 0: one block
};

// What takes memory, in bytes.
struct MemoryUse {
  WeightFormats formats;  // that the weights are in; unset kinds: as the checkpoint has them
  uint64_t weights = 0;   // packed
  uint64_t step = 0;      // activations and the vocabulary's logits
  uint64_t shared = 0;    // what KV cache and adapters may take together
  uint64_t kv = 0;        // the most that the KV cache can take of it
  int64_t kv_blocks = 0, min_kv_blocks = 0;
  uint64_t kv_block_bytes = 0;
  std::string text;  // the arithmetic, one line
};

// Owns everything; the decoder uses the back end until it goes. Move-only.
struct BaseModel {
  TextAssets text;  // of the folder
  // Of a packed folder: names and shapes alone.
  std::unique_ptr<Checkpoint> checkpoint;  // stays open: adapters are checked against it
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Decoder> decoder;
  MemoryUse memory;
  std::shared_ptr<ByteBudget> budget;  // of KV cache and adapters
};

// Lets an engine over this model take its KV blocks from the model's budget, beside adapters.
void ShareBudget(const BaseModel& model, EngineOptions& options);

// For adapters of `model`, which outlives it: of its shapes, on its back end, out of its budget.
std::unique_ptr<WeightManager> MakeWeightManager(const BaseModel& model, const WeightManagerOptions& options);

// Called once the sizes are known and before the weights are read.
using PlanFunction =
    std::function<void(const ModelSpec& spec, const Backend& backend, const MemoryUse& memory)>;

// Opens, plans the memory, loads. Errors as OpenModelFiles, CheckOptions, MakeBackend, PlanKvBudget,
// Decoder::Load and LoadPacked.
absl::StatusOr<BaseModel> LoadBaseModel(const BaseModelOptions& options, const PlanFunction& on_plan = {},
                                        const ProgressFunction& progress = {});
// The same of files that are open.
absl::StatusOr<BaseModel> LoadBaseModel(const BaseModelOptions& options, ModelFiles files,
                                        const PlanFunction& on_plan, const ProgressFunction& progress);

}  // namespace guildhall
