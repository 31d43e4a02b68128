#include "adapters/esft.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "adapters/esft_config.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/families/family.h"
#include "checkpoint/problems.h"
#include "checkpoint/weight_names.h"

namespace guildhall {
namespace {

constexpr std::string_view kConfigName = "expert_cfg.json";
constexpr size_t kMostProblems = 100;

class EsftSource final : public AdapterSource {
 public:
  EsftSource(std::unique_ptr<AdapterFiles> files, AdapterManifest manifest,
             std::map<WeightKey, const AdapterTensor*> tensors)
      : files_(std::move(files)), manifest_(std::move(manifest)), tensors_(std::move(tensors)) {}

  const AdapterManifest& manifest() const override { return manifest_; }
  absl::StatusOr<TensorView> ReadReplaced(const WeightKey& key, Scratch& scratch) const override {
    const auto at = tensors_.find(key);
    GH_CHECK(at != tensors_.end());
    return files_->Read(*at->second, scratch);
  }
  absl::StatusOr<LowRankTensors> ReadLowRank(const LowRankChange&, Scratch&, Scratch&) const override {
    CheckFailed(__FILE__, __LINE__, "an ESFT adapter has no low-rank changes");
  }
  absl::Status CheckUnchanged() const override { return files_->CheckUnchanged(); }

 private:
  std::unique_ptr<AdapterFiles> files_;
  AdapterManifest manifest_;
  std::map<WeightKey, const AdapterTensor*> tensors_;
};

// The number at the front of `text`, which is moved behind it and the dot that follows.
std::optional<int> TakeNumber(std::string_view& text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.' || number < 0)
    return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return number;
}

// Tells what each tensor of the folder is, and what is missing or too much.
class EsftBinder {
 public:
  EsftBinder(const ModelSpec& spec, const Family& family, const AdapterFiles& files)
      : spec_(spec), files_(files), names_(spec, family, ""), moe_(family.names.moe) {}

  std::map<WeightKey, const AdapterTensor*> Run() {
    for (const auto& [name, tensor] : files_.tensors()) {
      if (problems_.list().size() >= kMostProblems) break;
      Bind(name, tensor);
    }
    if (problems_.empty()) CheckComplete();
    return std::move(bound_);
  }

  // What the tensors change: experts by layer, and whether there are shared ones.
  const EsftConfig& found() const { return found_; }
  int shared_layers() const { return shared_layers_; }
  const Problems& problems() const { return problems_; }

  // The same said twice must agree.
  void CheckConfig(const EsftConfig& config, const std::string& what) {
    const auto ids = [](const EsftConfig& of, int layer) {
      const auto at = of.experts.find(layer);
      return at == of.experts.end() ? std::set<int>() : at->second;
    };
    for (int layer = 0; layer < static_cast<int>(spec_.layers.size()); ++layer) {
      const std::set<int> listed = ids(config, layer), found = ids(found_, layer);
      for (const int expert : listed) {
        if (found.contains(expert) || problems_.list().size() >= kMostProblems) continue;
        problems_.Add(absl::InvalidArgumentError(
            StrCat(what, ": experts.", layer, ": expert ", expert, " is listed, found no tensor ",
                   names_.Expert(layer, expert)[0].name, ": is a file of the adapter missing?")));
      }
      for (const int expert : found) {
        if (listed.contains(expert) || problems_.list().size() >= kMostProblems) continue;
        problems_.Add(absl::InvalidArgumentError(
            StrCat(what, ": experts.", layer, ": expected expert ", expert,
                   " in the list because the folder has its tensors, found it not listed")));
      }
    }
    if (config.shared_experts == found_.shared_experts) return;
    problems_.Add(absl::InvalidArgumentError(StrCat(what, ": shared_experts: expected ",
                                                    found_.shared_experts, " because the folder has ",
                                                    found_.shared_experts ? "tensors" : "no tensor",
                                                    " of shared experts, found ", config.shared_experts)));
  }

 private:
  void Bind(std::string_view name, const AdapterTensor& tensor) {
    std::string_view rest = name;
    if (rest.starts_with("model.")) rest.remove_prefix(6);
    const std::optional<ExpectedTensor> expected = Expect(rest);
    if (!expected) return Refuse(name, Reason(rest));
    if (tensor.entry->shape != expected->shape) {
      problems_.Add(StrCat("tensor ", Quote(name, 200), ": expected ", ShapeText(expected->shape), ", found ",
                           ShapeText(tensor.entry->shape), ": the adapter is of another base model"));
      return;
    }
    if (bound_.emplace(expected->key, &tensor).second) return;
    problems_.Add(absl::InvalidArgumentError(
        StrCat("tensor ", Quote(name, 200),
               ": expected one tensor for this weight, found a second one: with and "
               "without \"model.\" in front of its name")));
  }

  // The tensor of an expert or of shared experts that `name` (without "model.") stands for.
  std::optional<ExpectedTensor> Expect(std::string_view name) const {
    std::string_view rest = name;
    if (!rest.starts_with("layers.")) return std::nullopt;
    rest.remove_prefix(7);
    const std::optional<int> layer = TakeNumber(rest);
    if (!layer || *layer >= static_cast<int>(spec_.layers.size())) return std::nullopt;
    if (!spec_.layers[static_cast<size_t>(*layer)].moe) return std::nullopt;
    const std::string experts = StrCat(moe_, ".experts.");
    if (!rest.starts_with(experts)) return ExpectShared(*layer, name);
    rest.remove_prefix(experts.size());
    const std::optional<int> expert = TakeNumber(rest);
    if (!expert || *expert >= spec_.gate.experts) return std::nullopt;
    for (const ExpectedTensor& tensor : names_.Expert(*layer, *expert)) {
      if (tensor.name == name) return tensor;
    }
    return std::nullopt;
  }

  std::optional<ExpectedTensor> ExpectShared(int layer, std::string_view name) const {
    for (ExpectedTensor& tensor : names_.Layer(layer)) {
      const WeightRole role = tensor.key.role;
      const bool shared =
          role == WeightRole::kSharedGate || role == WeightRole::kSharedUp || role == WeightRole::kSharedDown;
      if (shared && tensor.name == name) return std::move(tensor);
    }
    return std::nullopt;
  }

  void Refuse(std::string_view name, std::string_view why) {
    problems_.Add(StrCat("tensor ", Quote(name, 200), ": expected a weight of an expert of the base model (",
                         spec_.family, "), found ", why));
  }

  // Why `name` (without "model.") is no expert's.
  std::string Reason(std::string_view name) const {
    constexpr std::string_view kOwnBase =
        ": ESFT leaves all but experts alone; serve the tuned checkpoint as a base model of its own";
    if (name.find(".lora_") != name.npos)
      return "a LoRA tensor: adapter_config.json is missing from the folder";
    for (const ExpectedTensor& tensor : {names_.Embedding(), names_.Head(), names_.FinalNorm()}) {
      if (tensor.name == name) return StrCat("a weight outside the experts", kOwnBase);
    }
    std::string_view rest = name;
    if (!rest.starts_with("layers.")) return "a name that this model does not have";
    rest.remove_prefix(7);
    const std::optional<int> layer = TakeNumber(rest);
    const int layers = static_cast<int>(spec_.layers.size());
    if (!layer || *layer >= layers)
      return StrCat("a layer that the base does not have (0 to ", layers - 1, ")");
    for (const ExpectedTensor& tensor : names_.Layer(*layer)) {
      if (tensor.name == name) return StrCat("a weight outside the experts", kOwnBase);
    }
    if (!spec_.layers[static_cast<size_t>(*layer)].moe)
      return StrCat("layer ", *layer, ", which is dense in the base model");
    const std::string experts = StrCat(moe_, ".experts.");
    if (!rest.starts_with(experts)) return "a name that this model does not have";
    rest.remove_prefix(experts.size());
    const std::optional<int> expert = TakeNumber(rest);
    if (expert && *expert >= spec_.gate.experts)
      return StrCat("expert ", *expert, " (the base has 0 to ", spec_.gate.experts - 1, ")");
    return "a name that this model does not have";
  }

  void CheckComplete() {
    for (const auto& [key, tensor] : bound_) {
      const bool shared = key.expert < 0;
      (shared ? shared_[key.layer] : routed_[{key.layer, key.expert}])++;
    }
    for (const auto& [place, count] : routed_) {
      found_.experts[place.first].insert(place.second);
      if (count < 3) CheckParts(names_.Expert(place.first, place.second));
    }
    for (const auto& [layer, count] : shared_) {
      found_.shared_experts = true;
      ++shared_layers_;
      if (count < 3) CheckParts(names_.Layer(layer));
    }
  }

  template <typename List>
  void CheckParts(const List& parts) {
    for (const ExpectedTensor& part : parts) {
      switch (part.key.role) {
        case WeightRole::kExpertGate:
        case WeightRole::kExpertUp:
        case WeightRole::kExpertDown:
        case WeightRole::kSharedGate:
        case WeightRole::kSharedUp:
        case WeightRole::kSharedDown:
          if (bound_.contains(part.key)) break;
          problems_.Add(
              absl::InvalidArgumentError(StrCat("tensor ", part.name, ": expected ", ShapeText(part.shape),
                                                ", found no such tensor: an expert is replaced as a whole")));
          break;
        default:
          break;
      }
    }
  }

  const ModelSpec& spec_;
  const AdapterFiles& files_;
  const WeightNames names_;
  const std::string moe_;
  Problems problems_;
  std::map<WeightKey, const AdapterTensor*> bound_;
  std::map<std::pair<int, int>, int> routed_;  // (layer, expert) -> tensors
  std::map<int, int> shared_;                  // layer -> tensors
  EsftConfig found_;
  int shared_layers_ = 0;
};

AdapterManifest MakeManifest(const ModelSpec& spec, const EsftBinder& binder, const AdapterFiles& files,
                             const std::map<WeightKey, const AdapterTensor*>& tensors) {
  AdapterManifest manifest;
  manifest.kind = "esft";
  const auto dtype = [&](WeightRole role, int layer, int expert) {
    return tensors.at({role, layer, expert})->dtype;
  };
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()); ++layer) {
    if (tensors.contains({WeightRole::kSharedGate, layer})) {
      manifest.replaced.push_back({layer, -1, dtype(WeightRole::kSharedGate, layer, -1),
                                   dtype(WeightRole::kSharedUp, layer, -1),
                                   dtype(WeightRole::kSharedDown, layer, -1)});
    }
    const auto at = binder.found().experts.find(layer);
    if (at == binder.found().experts.end()) continue;
    for (const int expert : at->second) {
      manifest.replaced.push_back({layer, expert, dtype(WeightRole::kExpertGate, layer, expert),
                                   dtype(WeightRole::kExpertUp, layer, expert),
                                   dtype(WeightRole::kExpertDown, layer, expert)});
    }
  }
  manifest.file_bytes = files.TensorBytes();
  return manifest;
}

// What a user should know although it is served.
void AddNotes(const WeightSource& base, const EsftBinder& binder,
              const std::map<WeightKey, const AdapterTensor*>& tensors, AdapterManifest& manifest) {
  size_t wider = 0;
  for (const auto& [key, tensor] : tensors) {
    wider += DTypeSize(tensor->dtype) > DTypeSize(base.dtype(key)) ? 1 : 0;
  }
  if (wider > 0) {
    manifest.notes.push_back(
        StrCat(wider, " of ", tensors.size(), " tensors are F32 beside a base of 16 bits: kept as they are"));
  }
  const auto moe_layers = std::count_if(base.spec().layers.begin(), base.spec().layers.end(),
                                        [](const LayerSpec& layer) { return layer.moe; });
  if (binder.shared_layers() > 0 && binder.shared_layers() < moe_layers) {
    manifest.notes.push_back(StrCat("shared experts are replaced in ", binder.shared_layers(), " of ",
                                    moe_layers, " layers: the folder has no others"));
  }
}

absl::Status InFolder(const AdapterFiles& files, const absl::Status& status) {
  return absl::Status(status.code(), StrCat(files.directory(), ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterSource>> OpenEsft(std::unique_ptr<AdapterFiles> files,
                                                        const WeightSource& base,
                                                        const AdapterFolderOptions& options) {
  const ModelSpec& spec = base.spec();
  const Family* family = FindFamily(spec.family);
  if (family == nullptr || !spec.moe()) {
    return absl::FailedPreconditionError(StrCat(files->directory(),
                                                ": an ESFT adapter replaces experts, and the base model (",
                                                spec.family, ") has none"));
  }
  std::optional<EsftConfig> config;
  const std::string path = !options.expert_config.empty() ? options.expert_config : std::string(kConfigName);
  if (!options.expert_config.empty() || files->Has(kConfigName)) {
    GH_ASSIGN_OR_RETURN(const Json json, files->OpenJson(path));
    GH_ASSIGN_OR_RETURN(config, ParseEsftConfig(json, path, spec));
  }
  for (const std::string& name : files->TensorFileNames()) GH_RETURN_IF_ERROR(files->OpenTensors(name));

  EsftBinder binder(spec, *family, *files);
  auto tensors = binder.Run();
  if (binder.problems().empty() && config) binder.CheckConfig(*config, path);
  if (!binder.problems().empty()) return InFolder(*files, binder.problems().ToStatus());
  if (tensors.empty()) {
    return InFolder(*files,
                    absl::InvalidArgumentError(
                        "expected tensors of tuned experts, found none: the adapter changes nothing"));
  }
  AdapterManifest manifest = MakeManifest(spec, binder, *files, tensors);
  manifest.fingerprint = files->Fingerprint();
  if (!config) manifest.notes.push_back(StrCat(kConfigName, ": derived from the tensors"));
  AddNotes(base, binder, tensors, manifest);
  return std::make_unique<EsftSource>(std::move(files), std::move(manifest), std::move(tensors));
}

}  // namespace guildhall
