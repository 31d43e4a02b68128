#include "adapters/peft_binder.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "adapters/model_modules.h"
#include "adapters/peft_leftovers.h"
#include "adapters/peft_targets.h"
#include "adapters/stacked_experts.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/families/family.h"
#include "checkpoint/problems.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

constexpr size_t kMostProblems = 100, kMostNotes = 10;

class PeftBinder {
 public:
  PeftBinder(const PeftConfig& config, const std::string& what, const AdapterFiles& files,
             const ModelSpec& spec, const ModelModules& modules, const PeftTargets& targets, int64_t max_rank)
      : config_(config),
        what_(what),
        files_(files),
        spec_(spec),
        modules_(modules),
        targets_(targets),
        max_rank_(max_rank),
        listed_(config.targets.names.size()),
        named_(config.target_parameters.size()) {}

  absl::StatusOr<PeftBinding> Run() {
    CheckLayers();
    for (const ModelModule& module : modules_.modules()) {
      if (Full()) break;
      BindModule(module);
    }
    BindStacks();
    NoteNames();
    TakeCopies();
    CheckLeftovers();
    if (!problems_.empty()) return problems_.ToStatus();
    GH_ASSIGN_OR_RETURN(std::vector<PlacedChange> split,
                        SplitStacked(spec_, stacked_, config_.peft_version, what_));
    std::move(split.begin(), split.end(), std::back_inserter(binding_.changes));
    return Finish();
  }

 private:
  bool Full() const { return problems_.list().size() >= kMostProblems; }

  const AdapterTensor* Take(const std::string& name) {
    const AdapterTensor* tensor = files_.Find(name);
    if (tensor != nullptr) used_.insert(tensor->entry->name);
    return tensor;
  }

  // The tensor of a module, or a problem that names what was expected.
  const AdapterTensor* Expect(const std::string& name, const std::vector<int64_t>& shape) {
    const AdapterTensor* tensor = Take(name);
    if (tensor == nullptr) {
      problems_.Add(StrCat("tensor ", name, ": expected ", ShapeText(shape), " because ", what_,
                           " targets its module, found no such tensor: is the file complete?"));
      return nullptr;
    }
    if (tensor->entry->shape == shape) return tensor;
    problems_.Add(
        StrCat("tensor ", name, ": expected ", ShapeText(shape), ", found ", ShapeText(tensor->entry->shape),
               ": the adapter is of another base model, or r and rank_pattern are of another file"));
    return nullptr;
  }

  bool RankAllowed(const std::string& module, int64_t rank) {
    if (max_rank_ == 0 || rank <= max_rank_) return true;
    problems_.Add(StrCat(what_, ": r of ", module, ": expected at most ", max_rank_, " (max_rank), found ",
                         rank, ": raise the limit, or train with a lower rank"));
    return false;
  }

  void CheckLayers() {
    // An expert's number where the number that counts is the last one.
    const int64_t limit =
        std::max<int64_t>(static_cast<int64_t>(spec_.layers.size()),
                          targets_.layer_number() == LayerNumber::kLast ? spec_.gate.experts : 0);
    if (!config_.layers) return;
    for (const int64_t layer : *config_.layers) {
      if (layer >= 0 && layer < limit) continue;
      problems_.Add(StrCat(what_, ": layers_to_transform: expected layers from 0 to ", limit - 1, ", found ",
                           layer, ": is the adapter of another base model?"));
      return;
    }
  }

  void BindModule(const ModelModule& module) {
    int64_t listed = -1;
    const bool wanted = targets_.Wants(module, &listed);
    const std::string weight = module.name + ".weight";
    const int64_t named = targets_.WantsParameter(weight);
    if (!module.served()) {
      // A pattern may run over routers and norms; a name means them.
      if (listed >= 0 && wanted) RefuseUnserved(module, "target_modules");
      if (named >= 0) RefuseUnserved(module, "target_parameters");
      if (listed >= 0) listed_[static_cast<size_t>(listed)] = true;
      if (named >= 0) named_[static_cast<size_t>(named)] = true;
      return;
    }
    if (listed >= 0) listed_[static_cast<size_t>(listed)] = true;
    if (named >= 0) named_[static_cast<size_t>(named)] = true;
    if (wanted && named >= 0) {
      problems_.Add(StrCat(what_, ": ", module.name,
                           ": expected it in target_modules or in target_parameters, found it in both"));
    } else if (wanted || named >= 0) {
      BindFactors(module, wanted ? module.name : weight);
    }
  }

  void RefuseUnserved(const ModelModule& module, std::string_view key) {
    if (Full()) return;
    problems_.Add(StrCat(what_, ": ", key, ": expected linear modules or the embedding, found ", module.name,
                         UnservedReason(module)));
  }

  // `name` is what the patterns for rank and scale match.
  void BindFactors(const ModelModule& module, const std::string& name) {
    const bool embedding = module.kind == ModelModule::Kind::kEmbedding;
    const int64_t rank = targets_.RankOf(name);
    if (!RankAllowed(module.name, rank)) return;
    // An embedding looks its rows up: its change is stored the other way round.
    const WeightShape shape = ShapeOf(spec_, module.key);
    const int64_t out = embedding ? shape.in : shape.out, in = embedding ? shape.out : shape.in;
    const std::string prefix = StrCat(kPeftPrefix, module.name);
    PlacedChange placed;
    placed.place.a = Expect(prefix + (embedding ? ".lora_embedding_A" : ".lora_A.weight"), {rank, in});
    placed.place.b = Expect(prefix + (embedding ? ".lora_embedding_B" : ".lora_B.weight"), {out, rank});
    if (config_.dora) {
      const std::string with_weight = prefix + ".lora_magnitude_vector.weight";
      placed.place.magnitude = Expect(
          files_.Find(with_weight) != nullptr ? with_weight : prefix + ".lora_magnitude_vector", {out});
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

  void BindStacks() {
    if (config_.target_parameters.empty()) return;
    for (int layer = 0; layer < static_cast<int>(spec_.layers.size()) && !Full(); ++layer) {
      if (!spec_.layers[static_cast<size_t>(layer)].moe) continue;
      const std::string experts = modules_.StackName(layer);
      std::vector<StackedChange> wanted;
      for (const bool down : {false, true}) {
        const std::string name = StrCat(experts, down ? ".down_proj" : ".gate_up_proj");
        const int64_t named = targets_.WantsParameter(name);
        if (named < 0) continue;
        named_[static_cast<size_t>(named)] = true;
        wanted.push_back(
            {name, layer, down, targets_.RankOf(name), targets_.ScaleOf(name), nullptr, nullptr});
      }
      if (!wanted.empty()) BindStack(StrCat(kPeftPrefix, experts), wanted);
    }
  }

  // With both parameters of a layer, the wrapper of the one lies inside the other's: gate_up first. Only the
  // shapes are proof, and they tell the two apart in every convention.
  void BindStack(const std::string& prefix, std::vector<StackedChange>& wanted) {
    if (config_.dora) {
      problems_.Add(StrCat(what_,
                           ": use_dora: expected false beside target_parameters, found true: PEFT has no "
                           "DoRA on stacked experts"));
      return;
    }
    const std::vector<std::string> levels = wanted.size() == 2
                                                ? std::vector<std::string>{prefix + ".base_layer", prefix}
                                                : std::vector<std::string>{prefix};
    std::vector<std::pair<const AdapterTensor*, const AdapterTensor*>> factors;
    for (const std::string& level : levels) {
      factors.emplace_back(Take(level + ".lora_A.weight"), Take(level + ".lora_B.weight"));
      if (factors.back().first != nullptr && factors.back().second != nullptr) continue;
      problems_.Add(StrCat("tensors ", level, ".lora_A.weight and .lora_B.weight: expected both because ",
                           what_, " targets ", wanted.front().name, ", found ",
                           factors.back().first == factors.back().second ? "neither" : "one of them"));
      return;
    }
    const auto assign = [&](bool swapped) {
      bool fit = true;
      for (size_t i = 0; i < wanted.size(); ++i) {
        std::tie(wanted[i].a, wanted[i].b) = factors[swapped ? wanted.size() - 1 - i : i];
        fit = fit && StackedShapesFit(spec_, wanted[i]);
      }
      return fit;
    };
    if (!assign(false) && !(wanted.size() == 2 && assign(true))) {
      assign(false);
      return RefuseShapes(wanted);
    }
    for (StackedChange& change : wanted) {
      if (RankAllowed(change.name, change.rank)) stacked_.push_back(std::move(change));
    }
  }

  void RefuseShapes(const std::vector<StackedChange>& wanted) {
    for (const StackedChange& change : wanted) {
      if (StackedShapesFit(spec_, change)) continue;
      problems_.Add(StrCat(
          "tensors ", change.a->entry->name, " and lora_B: expected ", StackedShapesText(spec_, change),
          " for ", change.name, " (", spec_.gate.experts, " experts of rank ", change.rank, "), found ",
          ShapeText(change.a->entry->shape), " and ", ShapeText(change.b->entry->shape),
          ": the adapter is of another base model, or r and rank_pattern are of another file"));
    }
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
        const AdapterTensor* tensor = files_.Find(name);
        if (tensor == nullptr) continue;
        const WeightShape shape = ShapeOf(spec_, module.key);
        if (Expect(name, {shape.out, shape.in}) != nullptr) binding_.copies.push_back({tensor, module.key});
      }
    }
  }

  void CheckLeftovers() {
    for (const auto& [name, tensor] : files_.tensors()) {
      if (Full()) return;
      if (used_.contains(name)) continue;
      problems_.Add(StrCat("tensor ", Quote(name, 200), ": expected a tensor that ", what_,
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
  const AdapterFiles& files_;
  const ModelSpec& spec_;
  const ModelModules& modules_;
  const PeftTargets& targets_;
  const int64_t max_rank_;
  std::vector<bool> listed_, named_;  // names that stand for something
  std::unordered_set<std::string_view> used_;
  std::vector<StackedChange> stacked_;
  Problems problems_;
  PeftBinding binding_;
};

// Where names hold several numbers, releases of PEFT differ in which one layers_to_transform means: the
// tensors tell, and at most one reading accounts for all of them.
bool LayersAreAmbiguous(const PeftConfig& config, const PeftDialect& dialect) {
  return config.layers && config.layers_patterns.empty() && dialect.experts == ExpertModules::kPerExpert;
}

// True where the names of target_modules would be those of experts, had the file's tools had modules for
// them.
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
  auto binding = PeftBinder(config, what, files, spec, modules, targets, max_rank).Run();
  if (!binding.ok() && LayersAreAmbiguous(config, dialect)) {
    GH_ASSIGN_OR_RETURN(const PeftTargets last, PeftTargets::Compile(config, what, LayerNumber::kLast));
    auto second = PeftBinder(config, what, files, spec, modules, last, max_rank).Run();
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
