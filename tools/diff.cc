#include "tools/diff.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "adapters/base_copies.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/families/family.h"
#include "checkpoint/weight_names.h"
#include "tools/low_rank_fit.h"
#include "tools/pending_folder.h"
#include "tools/safetensors_writer.h"
#include "tools/spec_difference.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

bool IsOfFfn(WeightRole role) {
  return role == WeightRole::kExpertGate || role == WeightRole::kExpertUp ||
         role == WeightRole::kExpertDown || role == WeightRole::kSharedGate ||
         role == WeightRole::kSharedUp || role == WeightRole::kSharedDown;
}

class Differ {
 public:
  Differ(const Checkpoint& base, const Checkpoint& tuned, const DiffOptions& options)
      : base_(base),
        tuned_(tuned),
        spec_(base.spec()),
        options_(options),
        names_(spec_, *FindFamily(spec_.family), "model.") {}

  absl::StatusOr<DiffReport> Run(const std::string& out) {
    GH_RETURN_IF_ERROR(FindChanges());
    GH_RETURN_IF_ERROR(CheckServed());
    PendingFolder esft(out), lora(out + "-lora");
    if (!networks_.empty()) GH_RETURN_IF_ERROR(WriteEsft(esft));
    if (!matrices_.empty()) GH_RETURN_IF_ERROR(WriteLora(lora));
    for (const absl::Status& status : {base_.CheckUnchanged(), tuned_.CheckUnchanged()}) {
      if (!status.ok()) return status;
    }
    if (!networks_.empty()) {
      GH_RETURN_IF_ERROR(esft.Commit());
      report_.esft_directory = out;
    }
    if (!matrices_.empty()) {
      GH_RETURN_IF_ERROR(lora.Commit());
      report_.lora_directory = out + "-lora";
    }
    return std::move(report_);
  }

 private:
  absl::StatusOr<bool> Changed(const WeightKey& key) {
    GH_ASSIGN_OR_RETURN(const TensorView own, base_.Read(key, own_));
    GH_ASSIGN_OR_RETURN(const TensorView tuned, tuned_.Read(key, other_));
    if (own.dtype == tuned.dtype) return std::memcmp(own.data, tuned.data, own.Bytes()) != 0;
    for (int64_t i = 0; i < own.Elements(); ++i) {
      const float found = LoadElement(tuned.data, tuned.dtype, i);
      if (!IsCopyOf(found, tuned.dtype, LoadElement(own.data, own.dtype, i))) return true;
    }
    return false;
  }

  absl::Status Compare(const ExpectedTensor& tensor) {
    if (!base_.Has(tensor.key)) return absl::OkStatus();  // the head of tied embeddings
    GH_ASSIGN_OR_RETURN(const bool changed, Changed(tensor.key));
    if (!changed) return absl::OkStatus();
    if (IsOfFfn(tensor.key.role)) {
      networks_.insert({tensor.key.layer, tensor.key.expert});
    } else if (options_.low_rank > 0 && tensor.shape.size() == 2 && tensor.key.role != WeightRole::kRouter) {
      matrices_.push_back(tensor);
    } else {
      unserved_.push_back(tensor.name);
    }
    return absl::OkStatus();
  }

  absl::Status FindChanges() {
    for (const ExpectedTensor& tensor : {names_.Embedding(), names_.Head(), names_.FinalNorm()}) {
      GH_RETURN_IF_ERROR(Compare(tensor));
    }
    for (int layer = 0; layer < static_cast<int>(spec_.layers.size()); ++layer) {
      for (const ExpectedTensor& tensor : names_.Layer(layer)) GH_RETURN_IF_ERROR(Compare(tensor));
      if (!spec_.layers[static_cast<size_t>(layer)].moe) continue;
      for (int expert = 0; expert < spec_.gate.experts; ++expert) {
        for (const ExpectedTensor& tensor : names_.Expert(layer, expert)) GH_RETURN_IF_ERROR(Compare(tensor));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckServed() const {
    if (unserved_.empty() && networks_.empty() && matrices_.empty()) {
      return absl::FailedPreconditionError(StrCat(tuned_.directory(),
                                                  ": expected a checkpoint that differs from ",
                                                  base_.directory(), ", found the same numbers"));
    }
    if (unserved_.empty()) return absl::OkStatus();
    constexpr size_t kShown = 20;
    std::string text = StrCat(tuned_.directory(), ": expected changes of experts alone, found changes of ");
    for (size_t i = 0; i < std::min(kShown, unserved_.size()); ++i) {
      StrAppend(&text, i ? ", " : "", unserved_[i]);
    }
    if (unserved_.size() > kShown) StrAppend(&text, " and ", unserved_.size() - kShown, " more");
    StrAppend(&text,
              options_.low_rank > 0
                  ? ": norms, biases and routers have no low-rank form; serve it as a base of its own"
                  : ": have the matrices among them written as a LoRA (low rank), or serve it as a base "
                    "of its own");
    return absl::FailedPreconditionError(text);
  }

  // The three tensors of a network that was changed: all of it is written.
  std::vector<ExpectedTensor> Parts(int layer, int expert) const {
    if (expert >= 0) {
      const auto parts = names_.Expert(layer, expert);
      return {parts.begin(), parts.end()};
    }
    std::vector<ExpectedTensor> parts;
    for (const ExpectedTensor& tensor : names_.Layer(layer)) {
      if (IsOfFfn(tensor.key.role)) parts.push_back(tensor);
    }
    return parts;
  }

  absl::Status WriteEsft(PendingFolder& folder) {
    GH_RETURN_IF_ERROR(folder.Make());
    std::vector<TensorToWrite> tensors;
    std::vector<WeightKey> keys;
    Json experts = Json::object();
    for (const auto& [layer, expert] : networks_) {
      if (expert >= 0) {
        report_.experts[layer].push_back(expert);
        experts[StrCat(layer)].push_back(expert);
      } else {
        report_.shared_layers.push_back(layer);
      }
      for (const ExpectedTensor& part : Parts(layer, expert)) {
        tensors.push_back({part.name, tuned_.dtype(part.key), part.shape});
        report_.esft_bytes += tensors.back().Bytes();
        keys.push_back(part.key);
      }
    }
    GH_RETURN_IF_ERROR(folder.Write("expert_cfg.json", {{"experts", experts},
                                                        {"shared_experts", !report_.shared_layers.empty()},
                                                        {"non_expert_modules", false}}));
    GH_ASSIGN_OR_RETURN(
        SafetensorsWriter writer,
        SafetensorsWriter::Open(folder.path() + "/model-00001-of-000001.safetensors", tensors));
    for (const WeightKey& key : keys) {
      GH_ASSIGN_OR_RETURN(const TensorView view, tuned_.Read(key, other_));
      GH_RETURN_IF_ERROR(writer.Append({view.data, view.Bytes()}));
    }
    return writer.Finish();
  }

  // tuned - base, as (out, in) of the low-rank change: an embedding the other way round.
  absl::StatusOr<std::vector<double>> Difference(const ExpectedTensor& tensor) {
    GH_ASSIGN_OR_RETURN(const TensorView own, base_.Read(tensor.key, own_));
    GH_ASSIGN_OR_RETURN(const TensorView tuned, tuned_.Read(tensor.key, other_));
    const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
    std::vector<double> difference(static_cast<size_t>(rows * columns));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t to = tensor.key.role == WeightRole::kEmbedding ? c * rows + r : r * columns + c;
        difference[static_cast<size_t>(to)] = double{LoadElement(tuned.data, tuned.dtype, r * columns + c)} -
                                              double{LoadElement(own.data, own.dtype, r * columns + c)};
      }
    }
    return difference;
  }

  absl::Status WriteLora(PendingFolder& folder) {
    GH_RETURN_IF_ERROR(folder.Make());
    Json modules = Json::array(), ranks = Json::object(), alphas = Json::object();
    std::vector<TensorToWrite> tensors;
    std::vector<std::vector<float>> values;
    const auto add = [&](const std::string& module, bool embedding, int64_t out, int64_t in, int64_t rank,
                         const LowRankFit& fit) {
      const std::string prefix = "base_model.model." + module;
      tensors.push_back(
          {prefix + (embedding ? ".lora_embedding_A" : ".lora_A.weight"), DType::kF32, {rank, in}});
      tensors.push_back(
          {prefix + (embedding ? ".lora_embedding_B" : ".lora_B.weight"), DType::kF32, {out, rank}});
      values.push_back(fit.a);
      values.push_back(fit.b);
      report_.lora_bytes += (fit.a.size() + fit.b.size()) * sizeof(float);
      report_.low_rank.push_back({module, rank, fit.relative_error});
      modules.push_back(module);
      if (rank == options_.low_rank) return;
      ranks[module] = rank;  // smaller than asked for: the matrix itself has no more
      alphas[module] = rank;
    };
    for (const ExpectedTensor& tensor : matrices_) {
      const bool embedding = tensor.key.role == WeightRole::kEmbedding;
      const int64_t out = tensor.shape[embedding ? 1 : 0], in = tensor.shape[embedding ? 0 : 1];
      const int64_t rank = std::min({options_.low_rank, out, in});
      GH_ASSIGN_OR_RETURN(const std::vector<double> difference, Difference(tensor));
      const LowRankFit fit = FitLowRank(difference, out, in, rank);
      add(tensor.name.substr(0, tensor.name.size() - std::string_view(".weight").size()), embedding, out, in,
          rank, fit);
      if (!embedding || !spec_.tied_embeddings) continue;
      // The head is the same tensor, and a change of its own in the adapter.
      LowRankFit head = fit;
      head.a = Transposed(fit.b, out, rank);
      head.b = Transposed(fit.a, rank, in);
      add("lm_head", false, in, out, rank, head);
    }
    GH_RETURN_IF_ERROR(folder.Write(
        "adapter_config.json",
        {{"peft_type", "LORA"},
         {"task_type", "CAUSAL_LM"},
         {"r", options_.low_rank},
         {"lora_alpha", options_.low_rank},
         {"rank_pattern", ranks},
         {"alpha_pattern", alphas},
         {"target_modules", modules},
         {"base_model_name_or_path", fs::path(base_.directory()).lexically_normal().filename().string()}}));
    GH_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                        SafetensorsWriter::Open(folder.path() + "/adapter_model.safetensors", tensors));
    for (const std::vector<float>& part : values) {
      GH_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(part))));
    }
    return writer.Finish();
  }

  static std::vector<float> Transposed(const std::vector<float>& values, int64_t rows, int64_t columns) {
    std::vector<float> turned(values.size());
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        turned[static_cast<size_t>(c * rows + r)] = values[static_cast<size_t>(r * columns + c)];
      }
    }
    return turned;
  }

  const Checkpoint& base_;
  const Checkpoint& tuned_;
  const ModelSpec& spec_;
  const DiffOptions& options_;
  const WeightNames names_;
  std::vector<std::byte> own_, other_;
  std::set<std::pair<int, int>> networks_;  // (layer, expert, or -1 for the shared ones)
  std::vector<ExpectedTensor> matrices_;    // for the LoRA
  std::vector<std::string> unserved_;
  DiffReport report_;
};

absl::Status CheckAbsent(const std::string& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(path, ": expected a new folder, found something there: remove it or choose another name"));
}

}  // namespace

absl::StatusOr<DiffReport> DiffCheckpoints(const std::string& base, const std::string& tuned,
                                           const std::string& out, const DiffOptions& options) {
  if (options.low_rank < 0) {
    return absl::InvalidArgumentError(StrCat("low_rank: expected 0 or more, found ", options.low_rank));
  }
  std::string place = out;
  while (place.size() > 1 && place.ends_with('/')) place.pop_back();
  GH_RETURN_IF_ERROR(CheckAbsent(place));
  if (options.low_rank > 0) GH_RETURN_IF_ERROR(CheckAbsent(place + "-lora"));
  GH_ASSIGN_OR_RETURN(const auto own, Checkpoint::Open(base));
  GH_ASSIGN_OR_RETURN(const auto other, Checkpoint::Open(tuned));
  const std::string difference = SpecDifference(own->spec(), other->spec());
  if (!difference.empty()) {
    return absl::FailedPreconditionError(
        StrCat(tuned, ": expected the architecture of ", base, ", found another one: ", difference));
  }
  return Differ(*own, *other, options).Run(place);
}

}  // namespace guildhall
