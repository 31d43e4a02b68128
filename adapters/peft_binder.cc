#include "adapters/peft_binder.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "adapters/model_modules.h"
#include "adapters/peft_leftovers.h"
#include "adapters/peft_stacks.h"
#include "adapters/peft_targets.h"
#include "adapters/peft_tensors.h"
#include "adapters/stacked_experts.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/families/family.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

constexpr size_t kMostNotes = 10;

class PeftBinder {
 public:
  PeftBinder(const PeftConfig& config, const ModelSpec& spec, const ModelModules& modules,
             const PeftTargets& targets, PeftTensors tensors)
      : config_(config),
        what_(tensors.what()),
        spec_(spec),
        modules_(modules),
        targets_(targets),
        tensors_(std::move(tensors)),
        listed_(config.targets.names.size()),
        named_(config.target_parameters.size()) {}

  absl::StatusOr<PeftBinding> Run() {
    CheckLayers();
    for (const ModelModule& module : modules_.modules()) {
      if (tensors_.Full()) break;
      BindModule(module);
    }
    auto stacked = BindStacks(config_, spec_, modules_, targets_, tensors_, named_);
    NoteNames();
    TakeCopies();
    CheckLeftovers();
    if (!tensors_.problems.empty()) return tensors_.problems.ToStatus();
    GH_ASSIGN_OR_RETURN(std::vector<PlacedChange> split,
                        SplitStacked(spec_, stacked, config_.peft_version, what_));
    std::move(split.begin(), split.end(), std::back_inserter(binding_.changes));
    return Finish();
  }

 private:
  void CheckLayers() {
    // An expert's number where the number that counts is the last one.
    const int64_t limit =
        std::max<int64_t>(static_cast<int64_t>(spec_.layers.size()),
                          targets_.layer_number() == LayerNumber::kLast ? spec_.gate.experts : 0);
    if (!config_.layers) return;
    for (const int64_t layer : *config_.layers) {
      if (layer >= 0 && layer < limit) continue;
      tensors_.problems.Add(StrCat(what_, ": layers_to_transform: expected layers from 0 to ", limit - 1,
                                   ", found ", layer, ": is the adapter of another base model?"));
      return;
    }
  }

  void BindModule(const ModelModule& module) {
    int64_t listed = -1;
    const bool wanted = targets_.Wants(module, &listed);
    const std::string weight = module.name + ".weight";
    const int64_t named = targets_.WantsParameter(weight);
    if (!module.served()) {
      // A regular expression may match routers and norms by accident; a name in a list asks for them.
      if (listed >= 0 && wanted) RefuseUnserved(module, "target_modules");
      if (named >= 0) RefuseUnserved(module, "target_parameters");
      if (listed >= 0) listed_[static_cast<size_t>(listed)] = true;
      if (named >= 0) named_[static_cast<size_t>(named)] = true;
      return;
    }
    if (listed >= 0) listed_[static_cast<size_t>(listed)] = true;
    if (named >= 0) named_[static_cast<size_t>(named)] = true;
    if (wanted && named >= 0) {
      tensors_.problems.Add(
          StrCat(what_, ": ", module.name,
                 ": expected it in target_modules or in target_parameters, found it in both"));
    } else if (wanted || named >= 0) {
      BindFactors(module, wanted ? module.name : weight);
    }
  }

  void RefuseUnserved(const ModelModule& module, std::string_view key) {
    if (tensors_.Full()) return;
    tensors_.problems.Add(StrCat(what_, ": ", key, ": expected linear modules or the embedding, found ",
                                 module.name, UnservedReason(module)));
  }

  // `name` is what the patterns for rank and scale match.
  void BindFactors(const ModelModule& module, const std::string& name) {
    const bool embedding = module.kind == ModelModule::Kind::kEmbedding;
    const int64_t rank = targets_.RankOf(name);
    if (!tensors_.RankAllowed(module.name, rank)) return;
    // An embedding looks its rows up: its change is stored the other way round.
    const WeightShape shape = ShapeOf(spec_, module.key);
    const int64_t out = embedding ? shape.in : shape.out, in = embedding ? shape.out : shape.in;
    const std::string prefix = StrCat(kPeftPrefix, module.name);
    PlacedChange placed;
    placed.place.a =
        tensors_.Expect(prefix + (embedding ? ".lora_embedding_A" : ".lora_A.weight"), {rank, in});
    placed.place.b =
        tensors_.Expect(prefix + (embedding ? ".lora_embedding_B" : ".lora_B.weight"), {out, rank});
    if (config_.dora) {
      const std::string with_weight = prefix + ".lora_magnitude_vector.weight";
      placed.place.magnitude =
          tensors_.Expect(tensors_.Has(with_weight) ? with_weight : prefix + ".lora_magnitude_vector", {out});
      if (placed.place.magnitude == nullptr) return;
    }
    if (placed.place.a == nullptr || placed.place.b == nullptr) return;
    placed.change = {module.key,
                     module.name,
                     rank,
                     in,
                     out,
                     targets_.ScaleOf(name),
                     FactorDType(placed.place, spec_.dtype),
                     config_.dora};
    binding_.changes.push_back(std::move(placed));
  }

  // PEFT keeps names that match nothing as long as another one matches: what they were meant for was not
  // trained. That is said, and no tensor is left over.
  void NoteNames() {
    const auto note = [&](std::string_view key, const std::vector<std::string>& names,
                          const std::vector<bool>& matched) {
      std::set<std::string> unmatched, known;
      for (size_t i = 0; i < names.size(); ++i) (matched[i] ? known : unmatched).insert(names[i]);
      for (const std::string& name : unmatched) {
        if (known.contains(name) || binding_.notes.size() >= kMostNotes) continue;
        binding_.notes.push_back(StrCat(what_, ": ", key, ": ", Quote(name),
                                        " stands for nothing in this model (", spec_.family,
                                        "): PEFT trained nothing for it"));
      }
    };
    note("target_modules", config_.targets.names, listed_);
    note("target_parameters", config_.target_parameters, named_);
  }

  void TakeCopies() {
    for (const ModelModule& module : modules_.modules()) {
      const bool whole =
          module.kind == ModelModule::Kind::kEmbedding || module.kind == ModelModule::Kind::kHead;
      if (!whole) continue;
      for (const std::string_view part : {".base_layer.weight", ".weight"}) {
        const std::string name = StrCat(kPeftPrefix, module.name, part);
        if (!tensors_.Has(name)) continue;
        const WeightShape shape = ShapeOf(spec_, module.key);
        const AdapterTensor* tensor = tensors_.Expect(name, {shape.out, shape.in});
        if (tensor != nullptr) binding_.copies.push_back({tensor, module.key});
      }
    }
  }

  void CheckLeftovers() {
    for (const auto& [name, tensor] : tensors_.all()) {
      if (tensors_.Full()) return;
      if (tensors_.used(name)) continue;
      tensors_.problems.Add(StrCat("tensor ", Quote(name, 200), ": expected a tensor that ", what_,
                                   " asks for, found ", LeftoverReason(name, config_, modules_, spec_)));
    }
  }

  absl::StatusOr<PeftBinding> Finish() {
    auto& changes = binding_.changes;
    if (changes.empty()) {
      return absl::InvalidArgumentError(StrCat(what_, ": expected modules of this model (", spec_.family,
                                               ") in target_modules, found that none "
                                               "matches: is the adapter of another base model?"));
    }
    std::sort(changes.begin(), changes.end(),
              [](const PlacedChange& a, const PlacedChange& b) { return a.change.key < b.change.key; });
    const auto twice = std::adjacent_find(
        changes.begin(), changes.end(),
        [](const PlacedChange& a, const PlacedChange& b) { return a.change.key == b.change.key; });
    if (twice != changes.end()) {
      return absl::InvalidArgumentError(
          StrCat(what_, ": ", twice->change.module, ": expected one change of a weight, found two"));
    }
    if (std::all_of(changes.begin(), changes.end(), [](const auto& c) { return c.change.scale == 0.0f; })) {
      binding_.notes.push_back("lora_alpha is 0: the adapter changes nothing");
    }
    return std::move(binding_);
  }

  const PeftConfig& config_;
  const std::string& what_;
  const ModelSpec& spec_;
  const ModelModules& modules_;
  const PeftTargets& targets_;
  PeftTensors tensors_;
  std::vector<bool> listed_, named_;  // names that stand for something
  PeftBinding binding_;
};

// Where names hold several numbers, releases of PEFT differ in which one layers_to_transform means: the
// tensors tell, and at most one reading accounts for all of them.
bool LayersAreAmbiguous(const PeftConfig& config, const PeftDialect& dialect) {
  return config.layers && config.layers_patterns.empty() && dialect.experts == ExpertModules::kPerExpert;
}

// True where the names of target_modules would be those
// of experts, had the file's tools had modules for them.
bool WouldNameExperts(const PeftTargets& targets, const ModelModules& per_expert) {
  return std::any_of(
      per_expert.modules().begin(), per_expert.modules().end(),
      [&](const ModelModule& module) { return module.key.expert >= 0 && targets.Wants(module); });
}

}  // namespace

absl::StatusOr<PeftBinding> BindPeft(const PeftConfig& config, const std::string& what,
                                     const AdapterFiles& files, const WeightSource& base, int64_t max_rank) {
  const ModelSpec& spec = base.spec();
  const Family* family = FindFamily(spec.family);
  if (family == nullptr) {
    return absl::FailedPreconditionError(
        StrCat("expected a base model of a known family, found ", Quote(spec.family)));
  }
  GH_ASSIGN_OR_RETURN(const PeftTargets targets, PeftTargets::Compile(config, what));
  GH_ASSIGN_OR_RETURN(const PeftDialect dialect, DetectDialect(config, what, files));
  const ModelModules modules(spec, *family, dialect.experts, dialect.prefix);
  auto binding = PeftBinder(config, spec, modules, targets, PeftTensors(files, what, max_rank)).Run();
  if (!binding.ok() && LayersAreAmbiguous(config, dialect)) {
    GH_ASSIGN_OR_RETURN(const PeftTargets last, PeftTargets::Compile(config, what, LayerNumber::kLast));
    auto second = PeftBinder(config, spec, modules, last, PeftTensors(files, what, max_rank)).Run();
    if (second.ok()) return second;
  }
  if (!binding.ok() || dialect.sure || !spec.moe()) return binding;
  if (WouldNameExperts(targets, ModelModules(spec, *family, ExpertModules::kPerExpert, dialect.prefix))) {
    binding->notes.push_back(
        "target_modules would name the experts' modules of transformers 4; the file has none, as "
        "transformers "
        "5 saves it: the experts are the base's");
  }
  return binding;
}

}  // namespace guildhall
