#include "checkpoint/weight_names.h"

#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/str_cat.h"
#include "checkpoint/attention_layout.h"

namespace guildhall {
namespace {

// Every family calls them so.
std::string_view AttentionModule(WeightRole role) {
  switch (role) {
    case WeightRole::kQ:
      return "q_proj";
    case WeightRole::kK:
      return "k_proj";
    case WeightRole::kV:
      return "v_proj";
    case WeightRole::kO:
      return "o_proj";
    case WeightRole::kQA:
      return "q_a_proj";
    case WeightRole::kQB:
      return "q_b_proj";
    case WeightRole::kKvA:
      return "kv_a_proj_with_mqa";
    case WeightRole::kKvB:
      return "kv_b_proj";
    case WeightRole::kQNorm:
      return "q_norm";
    case WeightRole::kKNorm:
      return "k_norm";
    case WeightRole::kQANorm:
      return "q_a_layernorm";
    case WeightRole::kKvANorm:
      return "kv_a_layernorm";
    default:
      CheckFailed(__FILE__, __LINE__, "a matrix or norm of attention");
  }
}

}  // namespace

std::string WeightNames::InLayer(int layer, std::string_view name) const {
  return StrCat(prefix_, "layers.", layer, ".", name);
}

ExpectedTensor WeightNames::Embedding() const {
  return {{WeightRole::kEmbedding}, prefix_ + "embed_tokens.weight", {spec_.vocabulary, spec_.hidden}, {}};
}

ExpectedTensor WeightNames::Head() const {
  return {{WeightRole::kHead}, "lm_head.weight", {spec_.vocabulary, spec_.hidden}, {}};
}

ExpectedTensor WeightNames::FinalNorm() const {
  return {{WeightRole::kFinalNorm}, prefix_ + "norm.weight", {spec_.hidden}, {}};
}

std::vector<ExpectedTensor> WeightNames::Layer(int layer) const {
  std::vector<ExpectedTensor> out;
  out.push_back(
      {{WeightRole::kInputNorm, layer}, InLayer(layer, "input_layernorm.weight"), {spec_.hidden}, {}});
  AddAttention(layer, out);
  out.push_back({{WeightRole::kPostAttentionNorm, layer},
                 InLayer(layer, "post_attention_layernorm.weight"),
                 {spec_.hidden},
                 {}});
  if (spec_.layers[static_cast<size_t>(layer)].moe) {
    AddMoe(layer, out);
  } else {
    AddFfn(layer, "mlp", spec_.dense_width, {WeightRole::kGate, WeightRole::kUp, WeightRole::kDown},
           {WeightRole::kGateBias, WeightRole::kUpBias, WeightRole::kDownBias}, out);
  }
  return out;
}

void WeightNames::AddAttention(int layer, std::vector<ExpectedTensor>& out) const {
  const AttentionLayout layout(spec_);
  const auto add = [&](WeightRole role, std::string_view module, std::string_view part,
                       std::vector<int64_t> shape) {
    out.push_back({{role, layer}, InLayer(layer, StrCat("self_attn.", module, part)), std::move(shape), {}});
  };
  for (const AttentionMatrix& matrix : layout.matrices()) {
    const std::string_view module = AttentionModule(matrix.weight);
    add(matrix.weight, module, ".weight", {matrix.out, matrix.in});
    if (matrix.biased) add(*matrix.bias, module, ".bias", {matrix.out});
  }
  for (const AttentionNorm& norm : layout.norms()) {
    add(norm.weight, AttentionModule(norm.weight), ".weight", {norm.width});
  }
}

void WeightNames::AddFfn(int layer, const std::string& block, int64_t width,
                         const std::array<WeightRole, 3>& roles, const std::array<WeightRole, 3>& bias_roles,
                         std::vector<ExpectedTensor>& out) const {
  constexpr std::array<std::string_view, 3> kParts = {"gate_proj", "up_proj", "down_proj"};
  for (size_t i = 0; i < kParts.size(); ++i) {
    const bool down = i == 2;
    const int64_t rows = down ? spec_.hidden : width, columns = down ? width : spec_.hidden;
    out.push_back(
        {{roles[i], layer}, InLayer(layer, StrCat(block, ".", kParts[i], ".weight")), {rows, columns}, {}});
    if (!spec_.mlp_bias) continue;
    out.push_back(
        {{bias_roles[i], layer}, InLayer(layer, StrCat(block, ".", kParts[i], ".bias")), {rows}, {}});
  }
}

void WeightNames::AddMoe(int layer, std::vector<ExpectedTensor>& out) const {
  const int64_t experts = spec_.gate.experts, h = spec_.hidden;
  const std::string moe(names_.moe);
  out.push_back({{WeightRole::kRouter, layer}, InLayer(layer, moe + ".gate.weight"), {experts, h}, {}});
  if (moe != "mlp") out.back().other_name = InLayer(layer, "mlp.gate.weight");
  if (spec_.gate.selection_bias) {
    out.push_back({{WeightRole::kRouterSelectionBias, layer},
                   InLayer(layer, moe + ".gate.e_score_correction_bias"),
                   {experts},
                   {}});
  }
  if (spec_.shared_width == 0) return;
  AddFfn(layer, StrCat(moe, ".", names_.shared), spec_.shared_width,
         {WeightRole::kSharedGate, WeightRole::kSharedUp, WeightRole::kSharedDown},
         {WeightRole::kSharedGateBias, WeightRole::kSharedUpBias, WeightRole::kSharedDownBias}, out);
  if (spec_.shared_gate) {
    out.push_back({{WeightRole::kSharedScore, layer},
                   InLayer(layer, StrCat(moe, ".", names_.shared, "_gate.weight")),
                   {1, h},
                   {}});
  }
}

std::array<ExpectedTensor, 3> WeightNames::Expert(int layer, int expert) const {
  const int64_t h = spec_.hidden, width = spec_.expert_width;
  const std::string block = InLayer(layer, StrCat(names_.moe, ".experts.", expert, "."));
  return {{
      {{WeightRole::kExpertGate, layer, expert},
       StrCat(block, names_.expert_gate, ".weight"),
       {width, h},
       {}},
      {{WeightRole::kExpertUp, layer, expert}, StrCat(block, names_.expert_up, ".weight"), {width, h}, {}},
      {{WeightRole::kExpertDown, layer, expert},
       StrCat(block, names_.expert_down, ".weight"),
       {h, width},
       {}},
  }};
}

std::array<ExpectedTensor, 2> WeightNames::StackedExperts(int layer) const {
  const int64_t experts = spec_.gate.experts, h = spec_.hidden, width = spec_.expert_width;
  return {{
      {{WeightRole::kExpertGate, layer},
       InLayer(layer, "mlp.experts.gate_up_proj"),
       {experts, 2 * width, h},
       {}},
      {{WeightRole::kExpertDown, layer}, InLayer(layer, "mlp.experts.down_proj"), {experts, h, width}, {}},
  }};
}

bool IsHarmlessTensor(std::string_view name, int64_t layers, int extra_layers) {
  if (name.starts_with("model.")) name.remove_prefix(6);
  if (name == "rotary_emb.inv_freq") return true;
  if (!name.starts_with("layers.")) return false;
  name.remove_prefix(7);
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return false;
  name.remove_prefix(static_cast<size_t>(end - name.data()) + 1);
  if (layer >= layers && layer < layers + extra_layers) return true;
  return layer >= 0 && layer < layers && name == "self_attn.rotary_emb.inv_freq";
}

}  // namespace guildhall
