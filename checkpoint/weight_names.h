// ModelSpec -> the tensors that a folder of that family holds: purpose, name, shape.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "checkpoint/families/family.h"
#include "checkpoint/model_spec.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

struct ExpectedTensor {
  WeightKey key;
  std::string name;
  std::vector<int64_t> shape;
  std::string other_name;  // that newer tools may write instead; empty: none
};

// The names of one model. `prefix` is "model." in published folders, "" where the bare decoder was saved.
class WeightNames {
 public:
  WeightNames(const ModelSpec& spec, const Family& family, std::string prefix)
      : spec_(spec), names_(family.names), prefix_(std::move(prefix)) {}

  ExpectedTensor Embedding() const;
  ExpectedTensor Head() const;  // "lm_head.weight"; with tied embeddings it need not be there
  ExpectedTensor FinalNorm() const;
  // Everything in a layer but its routed experts.
  std::vector<ExpectedTensor> Layer(int layer) const;
  // Gate (width, hidden), up (width, hidden), down (hidden, width) of one routed expert.
  std::array<ExpectedTensor, 3> Expert(int layer, int expert) const;
  // All experts of a layer in two tensors: [experts, 2 width,
  // hidden], gate rows first, and [experts, hidden, width].
  std::array<ExpectedTensor, 2> StackedExperts(int layer) const;

 private:
  void AddAttention(int layer, std::vector<ExpectedTensor>& out) const;
  void AddMoe(int layer, std::vector<ExpectedTensor>& out) const;
  // A gated FFN with its three roles, and their biases where the family has them.
  void AddFfn(int layer, const std::string& block, int64_t width, const std::array<WeightRole, 3>& roles,
              const std::array<WeightRole, 3>& bias_roles, std::vector<ExpectedTensor>& out) const;
  std::string InLayer(int layer, std::string_view name) const;

  const ModelSpec& spec_;
  const TensorNames& names_;
  std::string prefix_;
};

// Tensors that are in some folders and take no part in a forward pass: rotary frequencies that old releases
// saved, and the layers after the last one that predict several tokens (`extra_layers` of them).
bool IsHarmlessTensor(std::string_view name, int64_t layers, int extra_layers);

}  // namespace guildhall
