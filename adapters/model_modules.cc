#include "adapters/model_modules.h"

#include <optional>
#include <utility>

#include "base/str_cat.h"
#include "checkpoint/weight_names.h"

namespace guildhall {
namespace {

constexpr std::string_view kWeight = ".weight";

ModelModule::Kind KindOf(WeightRole role) {
  switch (role) {
    case WeightRole::kEmbedding:
      return ModelModule::Kind::kEmbedding;
    case WeightRole::kHead:
      return ModelModule::Kind::kHead;
    case WeightRole::kRouter:
      return ModelModule::Kind::kRouter;
    case WeightRole::kFinalNorm:
    case WeightRole::kInputNorm:
    case WeightRole::kPostAttentionNorm:
    case WeightRole::kQNorm:
    case WeightRole::kKNorm:
    case WeightRole::kQANorm:
    case WeightRole::kKvANorm:
      return ModelModule::Kind::kNorm;
    default:
      return ModelModule::Kind::kLinear;
  }
}

// Nothing for biases, which are parts of the modules that have the weights.
std::optional<ModelModule> ModuleOf(const ExpectedTensor& tensor, const std::string& name) {
  if (!name.ends_with(kWeight)) return std::nullopt;
  return ModelModule{name.substr(0, name.size() - kWeight.size()), tensor.key, KindOf(tensor.key.role)};
}

}  // namespace

ModelModules::ModelModules(const ModelSpec& spec, const Family& family, ExpertModules experts,
                           std::string prefix)
    : prefix_(std::move(prefix)) {
  const WeightNames names(spec, family, prefix_);
  for (const ExpectedTensor& tensor : {names.Embedding(), names.Head(), names.FinalNorm()}) {
    modules_.push_back(*ModuleOf(tensor, tensor.name));
  }
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()); ++layer) {
    AddLayer(spec, family, experts, layer);
  }
  for (size_t i = 0; i < modules_.size(); ++i) by_name_.emplace(modules_[i].name, i);
}

void ModelModules::AddLayer(const ModelSpec& spec, const Family& family, ExpertModules experts, int layer) {
  const WeightNames names(spec, family, prefix_);
  const bool stacked = experts == ExpertModules::kStacked;
  for (const ExpectedTensor& tensor : names.Layer(layer)) {
    const bool renamed = stacked && !tensor.other_name.empty();
    auto module = ModuleOf(tensor, renamed ? tensor.other_name : tensor.name);
    if (module) modules_.push_back(*std::move(module));
  }
  if (stacked || !spec.layers[static_cast<size_t>(layer)].moe) return;
  for (int expert = 0; expert < spec.gate.experts; ++expert) {
    for (const ExpectedTensor& tensor : names.Expert(layer, expert)) {
      modules_.push_back(*ModuleOf(tensor, tensor.name));
    }
  }
}

const ModelModule* ModelModules::Find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &modules_[at->second];
}

std::string ModelModules::StackName(int layer) const {
  return StrCat(prefix_, "layers.", layer, ".mlp.experts");
}

}  // namespace guildhall
