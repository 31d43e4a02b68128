#include "checkpoint/families/common.h"

#include <algorithm>

#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::string_view kFull = "full_attention", kSliding = "sliding_attention";

// layer_types, or an empty list with a problem unless it has one of the two known kinds per layer.
std::vector<std::string> LayerTypes(ConfigReader& config, const ModelSpec& spec) {
  std::vector<std::string> types = config.Strings("layer_types");
  const bool known = std::all_of(types.begin(), types.end(),
                                 [](const std::string& type) { return type == kFull || type == kSliding; });
  if (known && types.size() == spec.layers.size()) return types;
  if (config.Waives("layer_types")) return {};
  config.Refuse("layer_types", StrCat("full_attention or sliding_attention for each of the ",
                                      spec.layers.size(), " layers"));
  return {};
}

}  // namespace

void ReadGroupedQuery(ConfigReader& config, ModelSpec& spec, int64_t absent_kv_heads,
                      int64_t absent_head_dim) {
  AttentionSpec& attention = spec.attention;
  attention.kind = AttentionSpec::Kind::kGroupedQuery;
  const bool as_heads = absent_kv_heads == 0 || config.IsNull("num_key_value_heads");
  attention.kv_heads = config.Dim("num_key_value_heads", as_heads ? attention.heads : absent_kv_heads);
  if (attention.heads % attention.kv_heads != 0) {
    config.Refuse("num_key_value_heads", StrCat("a divisor of num_attention_heads (", attention.heads, ")"));
  }
  const int64_t derived = absent_head_dim > 0 ? absent_head_dim : spec.hidden / attention.heads;
  if (!config.Has("head_dim") && absent_head_dim == 0 && spec.hidden % attention.heads != 0) {
    config.Refuse("hidden_size", StrCat("a multiple of num_attention_heads (", attention.heads, ")"));
  }
  attention.head_dim = config.Dim("head_dim", std::max<int64_t>(derived, 1));
  attention.rope.rotary_dim = attention.head_dim;
}

void ReadAttentionBias(ConfigReader& config, ModelSpec& spec) {
  const bool bias = config.Bool("attention_bias", false);
  AttentionSpec& attention = spec.attention;
  attention.q_bias = attention.k_bias = attention.v_bias = attention.o_bias = bias;
}

void ReadTopK(ConfigReader& config, ModelSpec& spec, std::string_view experts_key, int64_t absent_experts,
              int64_t absent_k) {
  constexpr int64_t kMostExperts = 1 << 16;
  GateSpec& gate = spec.gate;
  gate.experts = static_cast<int>(config.Int(experts_key, absent_experts, 1, kMostExperts));
  gate.k = static_cast<int>(
      config.Int("num_experts_per_tok", std::min<int64_t>(absent_k, gate.experts), 1, gate.experts));
  gate.activation = GateSpec::Activation::kSoftmaxAll;
  gate.selection = GateSpec::Selection::kTopK;
}

void ReadSparseSteps(ConfigReader& config, ModelSpec& spec) {
  const int64_t step = config.Int("decoder_sparse_step", 1, 1, 1 << 16);
  std::vector<int64_t> dense = config.Ints("mlp_only_layers");
  std::sort(dense.begin(), dense.end());
  const int64_t layers = static_cast<int64_t>(spec.layers.size());
  if (!dense.empty() && (dense.front() < 0 || dense.back() >= layers)) {
    config.Refuse("mlp_only_layers", StrCat("layers from 0 to ", layers - 1));
  }
  for (int64_t l = 0; l < layers; ++l) {
    const bool listed = std::binary_search(dense.begin(), dense.end(), l);
    spec.layers[static_cast<size_t>(l)].moe = !listed && (l + 1) % step == 0;
  }
}

void RefuseWindows(ConfigReader& config) {
  config.MustBe("use_sliding_window", false, "this family has no windows");
  config.MustBeAbsent("sliding_window", "this family has no windows");
}

void CheckLayerTypes(ConfigReader& config, const ModelSpec& spec) {
  if (!config.Has("layer_types")) return;
  const std::vector<std::string> types = LayerTypes(config, spec);
  for (size_t l = 0; l < types.size(); ++l) {
    const std::string_view expected = spec.layers[l].sliding_window > 0 ? kSliding : kFull;
    if (types[l] == expected || config.Waives("layer_types")) continue;
    config.problems().Add(StrCat("config.json: layer_types: expected ", expected, " for layer ", l,
                                 " as the other keys of this family say, found ", types[l]));
    return;
  }
}

void ReadQwenWindows(ConfigReader& config, ModelSpec& spec, bool derivable) {
  const bool use = config.Bool("use_sliding_window", false);
  const int64_t first = config.Int("max_window_layers", 28, 0);
  // Zero or a number beside use_sliding_window: false is what the tools write for "none".
  const int64_t window = config.Int("sliding_window", 4096, use ? 1 : 0, 1 << 30);
  if (!use || config.IsNull("sliding_window")) return CheckLayerTypes(config, spec);
  if (!config.Has("layer_types") && !derivable) {
    config.Refuse("layer_types", "one kind per layer beside use_sliding_window: true",
                  "releases of transformers disagree on which layers are windowed without it; state it");
    return;
  }
  const std::vector<std::string> types =
      config.Has("layer_types") ? LayerTypes(config, spec) : std::vector<std::string>{};
  for (size_t l = 0; l < spec.layers.size(); ++l) {
    const bool sliding = types.empty() ? static_cast<int64_t>(l) >= first : types[l] == kSliding;
    if (sliding) spec.layers[l].sliding_window = static_cast<int>(window);
  }
}

}  // namespace guildhall
