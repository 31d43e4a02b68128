#include "checkpoint/inspect.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/weight_names.h"

namespace guildhall {
namespace {

std::string_view KindName(WeightRole role) {
  switch (role) {
    case WeightRole::kEmbedding:
      return "embedding";
    case WeightRole::kHead:
      return "head";
    case WeightRole::kFinalNorm:
    case WeightRole::kInputNorm:
    case WeightRole::kPostAttentionNorm:
    case WeightRole::kQNorm:
    case WeightRole::kKNorm:
    case WeightRole::kQANorm:
    case WeightRole::kKvANorm:
      return "norms";
    case WeightRole::kGate:
    case WeightRole::kUp:
    case WeightRole::kDown:
    case WeightRole::kGateBias:
    case WeightRole::kUpBias:
    case WeightRole::kDownBias:
      return "dense";
    case WeightRole::kRouter:
    case WeightRole::kRouterSelectionBias:
      return "router";
    case WeightRole::kExpertGate:
    case WeightRole::kExpertUp:
    case WeightRole::kExpertDown:
      return "experts";
    case WeightRole::kSharedGate:
    case WeightRole::kSharedUp:
    case WeightRole::kSharedDown:
    case WeightRole::kSharedScore:
    case WeightRole::kSharedGateBias:
    case WeightRole::kSharedUpBias:
    case WeightRole::kSharedDownBias:
      return "shared experts";
    default:
      return "attention";
  }
}

// Adds up tensors by kind.
class Parts {
 public:
  explicit Parts(const ModelSpec& spec) : spec_(spec) {}

  // `copies` equal tensors: the routed experts of a layer.
  void Add(WeightRole role, const std::vector<int64_t>& shape, DType dtype, int64_t copies = 1) {
    Wide elements = copies;
    for (const int64_t dim : shape) elements = Clamp(elements * dim);
    const std::string_view kind = KindName(role);
    auto part = std::find_if(parts_.begin(), parts_.end(), [&](const auto& p) { return p.kind == kind; });
    if (part == parts_.end()) part = parts_.insert(parts_.end(), Inspection::Part{.kind = std::string(kind)});
    part->parameters = Clamp(part->parameters + elements);
    const Wide active = kind == "experts" ? elements * spec_.gate.k / spec_.gate.experts : elements;
    const int64_t element = static_cast<int64_t>(DTypeSize(dtype));
    part->active = Clamp(part->active + active);
    part->bytes = Clamp(part->bytes + elements * element);
    part->active_bytes = Clamp(part->active_bytes + active * element);
  }
  std::vector<Inspection::Part> Take() { return std::move(parts_); }

 private:
  // The sizes of a config.json that no weights confirm may multiply to anything.
  using Wide = __int128;
  static int64_t Clamp(Wide value) { return static_cast<int64_t>(std::min<Wide>(value, Wide{1} << 58)); }

  const ModelSpec& spec_;
  std::vector<Inspection::Part> parts_;
};

// By the files where all is well; by config.json's sizes and dtype where the weights are not (all) there.
std::vector<Inspection::Part> CountParts(const ModelFolder& folder) {
  const ModelSpec& spec = folder.config.spec;
  Parts parts(spec);
  if (folder.problems.empty()) {
    for (const auto& [key, bound] : folder.binding.weights)
      parts.Add(key.role, bound.view.shape, bound.view.dtype);
    return parts.Take();
  }
  const WeightNames names(spec, *folder.config.family, "model.");
  const auto add = [&](const ExpectedTensor& tensor, int64_t copies = 1) {
    parts.Add(tensor.key.role, tensor.shape, spec.dtype, copies);
  };
  add(names.Embedding());
  if (!spec.tied_embeddings) add(names.Head());
  add(names.FinalNorm());
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()); ++layer) {
    for (const ExpectedTensor& tensor : names.Layer(layer)) add(tensor);
    if (!spec.layers[static_cast<size_t>(layer)].moe) continue;
    for (const ExpectedTensor& tensor : names.Expert(layer, 0)) add(tensor, spec.gate.experts);
  }
  return parts.Take();
}

int64_t KvBytesPerToken(const ModelSpec& spec) {
  const AttentionSpec& a = spec.attention;
  const int64_t width = a.kind == AttentionSpec::Kind::kLatent ? int64_t{a.kv_lora_rank} + a.qk_rope_dim
                                                               : int64_t{2} * a.kv_heads * a.head_dim;
  const DType dtype = spec.dtype == DType::kF32 ? DType::kF32 : DType::kBF16;
  return width * static_cast<int64_t>(spec.layers.size()) * static_cast<int64_t>(DTypeSize(dtype));
}

void CountFiles(const ModelFolder& folder, Inspection& out) {
  out.skipped_bytes = static_cast<int64_t>(folder.binding.skipped_bytes);
  for (const auto& file : folder.files.files()) {
    ++out.files;
    out.file_bytes += static_cast<int64_t>(file->size());
    for (const SafetensorsEntry& entry : file->header().entries) {
      ++out.tensors;
      out.bytes_by_dtype[entry.dtype] += static_cast<int64_t>(entry.end - entry.begin);
      if (folder.config.family != nullptr) continue;
      int64_t elements = 1;
      for (const int64_t dim : entry.shape) elements *= dim;
      out.parameters += elements;
    }
  }
}

void CountSpec(const ModelFolder& folder, Inspection& out) {
  const ModelSpec& spec = folder.config.spec;
  out.parts = CountParts(folder);
  int64_t embedding = 0, active_bytes = 0;
  for (const Inspection::Part& part : out.parts) {
    out.parameters += part.parameters;
    out.active_parameters += part.active;
    out.weight_bytes += part.bytes;
    if (part.kind == "embedding") embedding = part.bytes;
    active_bytes += part.active_bytes;
    if (part.kind == "experts") {
      const auto moe =
          std::count_if(spec.layers.begin(), spec.layers.end(), [](auto& layer) { return layer.moe; });
      out.expert_bytes = part.bytes / moe / spec.gate.experts;
    }
  }
  // The head reads a tied embedding whole; an untied one is read one row at a time.
  const int64_t row = embedding / spec.vocabulary;
  out.bytes_per_token = active_bytes + row - (spec.tied_embeddings ? 0 : embedding);
  out.kv_bytes_per_token = KvBytesPerToken(spec);
}

std::string TokenizerWords(const std::string& directory) {
  std::error_code error;
  const auto exists = [&](const char* name) {
    return std::filesystem::exists(StrCat(directory, "/", name), error);
  };
  if (exists("tokenizer.json")) return "tokenizer.json";
  if (exists("tokenizer.model"))
    return "none: tokenizer.model alone is not read, convert it to tokenizer.json";
  return "none: token ids only";
}

}  // namespace

absl::StatusOr<Inspection> Inspect(const std::string& directory, const CheckpointOptions& options) {
  GH_ASSIGN_OR_RETURN(ModelFolder folder, ReadModelFolder(directory, options));
  Inspection out;
  out.directory = directory;
  out.served = folder.problems.empty();
  out.problems = folder.problems.list();
  out.notes = folder.config.notes;
  for (std::string& note : GenerationNotes(folder.generation)) out.notes.push_back(std::move(note));
  out.known_family = folder.config.family != nullptr;
  CountFiles(folder, out);
  if (out.known_family) CountSpec(folder, out);
  out.tokenizer = TokenizerWords(directory);
  out.spec = std::move(folder.config.spec);
  out.generation = std::move(folder.generation);
  return out;
}

}  // namespace guildhall
