// The modules of a base model under the names by which the training tools know them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "checkpoint/families/family.h"
#include "checkpoint/model_spec.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

// How transformers holds routed experts in memory: 4.x has modules for each of them, 5.x two stacked
// parameters per layer and no modules (and has Mixtral's block under another name).
enum class ExpertModules { kPerExpert, kStacked };

struct ModelModule {
  enum class Kind : uint8_t { kLinear, kEmbedding, kHead, kRouter, kNorm };

  std::string name;  // "model.layers.0.self_attn.q_proj"
  WeightKey key;     // its weight
  Kind kind = Kind::kLinear;

  // Whether a low-rank change of it is served.
  bool served() const { return kind != Kind::kRouter && kind != Kind::kNorm; }
};

// Immutable.
class ModelModules {
 public:
  // `prefix`: "model.", or "" when the bare decoder was trained.
  ModelModules(const ModelSpec& spec, const Family& family, ExpertModules experts, std::string prefix);

  const std::vector<ModelModule>& modules() const { return modules_; }
  const ModelModule* Find(std::string_view name) const;
  // "model.layers.3.mlp.experts": the module that holds a layer's stacked parameters.
  std::string StackName(int layer) const;

 private:
  void AddLayer(const ModelSpec& spec, const Family& family, ExpertModules experts, int layer);

  std::string prefix_;
  std::vector<ModelModule> modules_;
  std::unordered_map<std::string_view, size_t> by_name_;  // names live in modules_
};

}  // namespace guildhall
