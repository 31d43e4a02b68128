// What several families read in the same way.
#pragma once

#include <cstdint>
#include <string_view>

#include "checkpoint/config_reader.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

// head_dim (hidden / heads when absent and `absent_head_dim` is 0) and num_key_value_heads (as many as heads
// when absent and `absent_kv_heads` is 0, and when null).
void ReadGroupedQuery(ConfigReader& config, ModelSpec& spec, int64_t absent_kv_heads,
                      int64_t absent_head_dim = 0);

// One key that puts biases on all four projections.
void ReadAttentionBias(ConfigReader& config, ModelSpec& spec);

// A router with softmax over all experts and plain top-k.
void ReadTopK(ConfigReader& config, ModelSpec& spec, std::string_view experts_key, int64_t absent_experts,
              int64_t absent_k);

// decoder_sparse_step and mlp_only_layers: which layers are MoE.
void ReadSparseSteps(ConfigReader& config, ModelSpec& spec);

// A family without windows: any key that asks for one is refused.
void RefuseWindows(ConfigReader& config);

// The key layer_types must say what `spec.layers` says already.
void CheckLayerTypes(ConfigReader& config, const ModelSpec& spec);

// use_sliding_window, sliding_window and layer_types of the Qwen families. Without layer_types the layers
// from max_window_layers on are windowed; `derivable` false refuses that case instead.
void ReadQwenWindows(ConfigReader& config, ModelSpec& spec, bool derivable);

}  // namespace guildhall
