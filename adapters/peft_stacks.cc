#include "adapters/peft_stacks.h"

#include <string>
#include <tuple>
#include <utility>

#include "adapters/peft_leftovers.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// A and B; nullptr where the file lacks one.
using Factors = std::pair<const AdapterTensor*, const AdapterTensor*>;

// Those of a layer's wrappers, the inner one first: `count`
// of them. Empty with a problem when one is missing.
std::vector<Factors> TakeFactors(const std::string& prefix, const std::vector<StackedChange>& wanted,
                                 PeftTensors& tensors) {
  std::vector<std::string> levels = {prefix};
  if (wanted.size() == 2) levels.insert(levels.begin(), prefix + ".base_layer");
  std::vector<Factors> factors;
  for (const std::string& level : levels) {
    const Factors pair = {tensors.Take(level + ".lora_A.weight"), tensors.Take(level + ".lora_B.weight")};
    factors.push_back(pair);
    if (pair.first != nullptr && pair.second != nullptr) continue;
    tensors.problems.Add(StrCat(
        "tensors ", level, ".lora_A.weight and .lora_B.weight: expected both because ", tensors.what(),
        " targets ", wanted.front().name, ", found ", pair.first == pair.second ? "neither" : "one of them"));
    return {};
  }
  return factors;
}

bool Assign(const ModelSpec& spec, const std::vector<Factors>& factors, bool swapped,
            std::vector<StackedChange>& wanted) {
  bool fit = true;
  for (size_t i = 0; i < wanted.size(); ++i) {
    std::tie(wanted[i].a, wanted[i].b) = factors[swapped ? wanted.size() - 1 - i : i];
    fit = fit && StackedShapesFit(spec, wanted[i]);
  }
  return fit;
}

void RefuseShapes(const ModelSpec& spec, const std::vector<StackedChange>& wanted, PeftTensors& tensors) {
  for (const StackedChange& change : wanted) {
    if (StackedShapesFit(spec, change)) continue;
    tensors.problems.Add(
        StrCat("tensors ", change.a->entry->name, " and lora_B: expected ", StackedShapesText(spec, change),
               " for ", change.name, " (", spec.gate.experts, " experts of rank ", change.rank, "), found ",
               ShapeText(change.a->entry->shape), " and ", ShapeText(change.b->entry->shape),
               ": the adapter is of another base model, or r and rank_pattern are of another file"));
  }
}

// With both parameters of a layer, the wrapper of the one lies inside the other's: gate_up first. Only the
// shapes are proof, and they tell the two apart in every convention.
void BindStack(const ModelSpec& spec, const std::string& prefix, std::vector<StackedChange> wanted,
               PeftTensors& tensors, std::vector<StackedChange>& bound) {
  const std::vector<Factors> factors = TakeFactors(prefix, wanted, tensors);
  if (factors.empty()) return;
  const bool fit = Assign(spec, factors, false, wanted) || Assign(spec, factors, true, wanted);
  if (!fit) {
    Assign(spec, factors, false, wanted);
    return RefuseShapes(spec, wanted, tensors);
  }
  for (StackedChange& change : wanted) {
    if (tensors.RankAllowed(change.name, change.rank)) bound.push_back(std::move(change));
  }
}

}  // namespace

std::vector<StackedChange> BindStacks(const PeftConfig& config, const ModelSpec& spec,
                                      const ModelModules& modules, const PeftTargets& targets,
                                      PeftTensors& tensors, std::vector<bool>& named) {
  std::vector<StackedChange> bound;
  if (config.target_parameters.empty()) return bound;
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()) && !tensors.Full(); ++layer) {
    if (!spec.layers[static_cast<size_t>(layer)].moe) continue;
    const std::string experts = modules.StackName(layer);
    std::vector<StackedChange> wanted;
    for (const bool down : {false, true}) {
      const std::string name = StrCat(experts, down ? ".down_proj" : ".gate_up_proj");
      const int64_t index = targets.WantsParameter(name);
      if (index < 0) continue;
      named[static_cast<size_t>(index)] = true;
      wanted.push_back({name, layer, down, targets.RankOf(name), targets.ScaleOf(name), nullptr, nullptr});
    }
    if (wanted.empty()) continue;
    if (config.dora) {
      tensors.problems.Add(StrCat(tensors.what(),
                                  ": use_dora: expected false beside target_parameters, found "
                                  "true: PEFT has no DoRA on stacked experts"));
      break;
    }
    BindStack(spec, StrCat(kPeftPrefix, experts), std::move(wanted), tensors, bound);
  }
  return bound;
}

}  // namespace guildhall
