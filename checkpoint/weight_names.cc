#include "checkpoint/weight_names.h"

#include <charconv>
#include <utility>

#include "base/str_cat.h"

namespace guildhall {

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
  if (spec_.attention.kind == AttentionSpec::Kind::kLatent) {
    AddLatent(layer, out);
  } else {
    AddGroupedQuery(layer, out);
  }
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

void WeightNames::AddGroupedQuery(int layer, std::vector<ExpectedTensor>& out) const {
  const AttentionSpec& a = spec_.attention;
  const int64_t q = int64_t{a.heads} * a.head_dim, kv = int64_t{a.kv_heads} * a.head_dim, h = spec_.hidden;
  const auto add = [&](WeightRole role, std::string_view name, std::vector<int64_t> shape) {
    out.push_back({{role, layer}, InLayer(layer, StrCat("self_attn.", name)), std::move(shape), {}});
  };
  add(WeightRole::kQ, "q_proj.weight", {q, h});
  add(WeightRole::kK, "k_proj.weight", {kv, h});
  add(WeightRole::kV, "v_proj.weight", {kv, h});
  add(WeightRole::kO, "o_proj.weight", {h, q});
  if (a.q_bias) add(WeightRole::kQBias, "q_proj.bias", {q});
  if (a.k_bias) add(WeightRole::kKBias, "k_proj.bias", {kv});
  if (a.v_bias) add(WeightRole::kVBias, "v_proj.bias", {kv});
  if (a.o_bias) add(WeightRole::kOBias, "o_proj.bias", {h});
  if (a.qk_norm == AttentionSpec::QkNorm::kNone) return;
  const bool full = a.qk_norm == AttentionSpec::QkNorm::kFullWidth;
  add(WeightRole::kQNorm, "q_norm.weight", {full ? q : a.head_dim});
  add(WeightRole::kKNorm, "k_norm.weight", {full ? kv : a.head_dim});
}

void WeightNames::AddLatent(int layer, std::vector<ExpectedTensor>& out) const {
  const AttentionSpec& a = spec_.attention;
  const int64_t h = spec_.hidden, rank = a.kv_lora_rank,
                q = int64_t{a.heads} * (a.qk_nope_dim + a.qk_rope_dim);
  const auto add = [&](WeightRole role, std::string_view name, std::vector<int64_t> shape) {
    out.push_back({{role, layer}, InLayer(layer, StrCat("self_attn.", name)), std::move(shape), {}});
  };
  if (a.q_lora_rank > 0) {
    add(WeightRole::kQA, "q_a_proj.weight", {a.q_lora_rank, h});
    if (a.q_bias) add(WeightRole::kQABias, "q_a_proj.bias", {a.q_lora_rank});
    add(WeightRole::kQANorm, "q_a_layernorm.weight", {a.q_lora_rank});
    add(WeightRole::kQB, "q_b_proj.weight", {q, a.q_lora_rank});
  } else {
    add(WeightRole::kQ, "q_proj.weight", {q, h});
  }
  add(WeightRole::kKvA, "kv_a_proj_with_mqa.weight", {rank + a.qk_rope_dim, h});
  if (a.k_bias) add(WeightRole::kKvABias, "kv_a_proj_with_mqa.bias", {rank + a.qk_rope_dim});
  add(WeightRole::kKvANorm, "kv_a_layernorm.weight", {rank});
  add(WeightRole::kKvB, "kv_b_proj.weight", {int64_t{a.heads} * (a.qk_nope_dim + a.v_head_dim), rank});
  add(WeightRole::kO, "o_proj.weight", {h, int64_t{a.heads} * a.v_head_dim});
  if (a.o_bias) add(WeightRole::kOBias, "o_proj.bias", {h});
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
