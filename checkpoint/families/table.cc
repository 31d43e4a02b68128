#include "checkpoint/families/family.h"

namespace guildhall {

const std::vector<Family>& Families() {
  // vocabulary, hidden, layers, heads, positions, eps, theta
  static const auto* families = new std::vector<Family>{
      {"mixtral",
       "MixtralForCausalLM",
       {32000, 4096, 32, 32, 131072, 1e-5, 1e6},
       {.moe = "block_sparse_moe", .expert_gate = "w1", .expert_up = "w3", .expert_down = "w2"},
       ReadMixtral},
      {"olmoe", "OlmoeForCausalLM", {50304, 2048, 16, 16, 4096, 1e-5}, {}, ReadOlmoe},
      {"qwen2_moe",
       "Qwen2MoeForCausalLM",
       {151936, 2048, 24, 16, 32768, 1e-6},
       {.shared = "shared_expert"},
       ReadQwen2Moe},
      {"qwen3_moe", "Qwen3MoeForCausalLM", {151936, 2048, 24, 32, 32768, 1e-6}, {}, ReadQwen3Moe},
      {"deepseek_v2", "DeepseekV2ForCausalLM", {102400, 4096, 32, 32, 2048, 1e-6}, {}, ReadDeepseekV2},
      {"deepseek_v3",
       "DeepseekV3ForCausalLM",
       {129280, 7168, 61, 128, 4096, 1e-6},
       {.extra_layers = true},
       ReadDeepseekV3},
      {"llama", "LlamaForCausalLM", {32000, 4096, 32, 32, 2048, 1e-6}, {}, ReadLlama},
      {"qwen2", "Qwen2ForCausalLM", {151936, 4096, 32, 32, 32768, 1e-6}, {}, ReadQwen2},
      {"qwen3", "Qwen3ForCausalLM", {151936, 4096, 32, 32, 32768, 1e-6}, {}, ReadQwen3},
  };
  return *families;
}

const Family* FindFamily(std::string_view model_type) {
  for (const Family& family : Families()) {
    if (family.model_type == model_type) return &family;
  }
  return nullptr;
}

}  // namespace guildhall
