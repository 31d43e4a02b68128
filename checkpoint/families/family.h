// The model families that are served: one small file each, one row each in the table.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "checkpoint/config_reader.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

// What transformers assumes for keys that a config.json leaves out.
struct FamilyDefaults {
  int64_t vocabulary;
  int64_t hidden;
  int64_t layers;
  int64_t heads;
  int64_t max_positions;
  double norm_eps;
  double rope_theta = 10000.0;
};

// Where a family's tensor names differ from the others'.
struct TensorNames {
  std::string_view moe = "mlp";  // the block of a MoE layer: model.layers.0.MOE.experts.0.GATE.weight
  std::string_view expert_gate = "gate_proj", expert_up = "up_proj", expert_down = "down_proj";
  std::string_view shared = "shared_experts";
  bool extra_layers = false;  // layers for predicting several tokens follow the last one; they are not served
};

struct Family {
  std::string_view model_type;    // "mixtral"
  std::string_view architecture;  // "MixtralForCausalLM"
  FamilyDefaults defaults;
  TensorNames names;
  // Fills attention (but rope's parameters and the softmax scale), the layers' kinds and windows, widths and
  // gate. The sizes that all families share are in `spec` already. Marks every key that the family knows.
  void (*read)(ConfigReader& config, ModelSpec& spec);
};

const std::vector<Family>& Families();
const Family* FindFamily(std::string_view model_type);

// One per family, each in its own file.
void ReadMixtral(ConfigReader& config, ModelSpec& spec);
void ReadOlmoe(ConfigReader& config, ModelSpec& spec);
void ReadQwen2Moe(ConfigReader& config, ModelSpec& spec);
void ReadQwen3Moe(ConfigReader& config, ModelSpec& spec);
void ReadDeepseekV2(ConfigReader& config, ModelSpec& spec);
void ReadDeepseekV3(ConfigReader& config, ModelSpec& spec);
void ReadLlama(ConfigReader& config, ModelSpec& spec);
void ReadQwen2(ConfigReader& config, ModelSpec& spec);
void ReadQwen3(ConfigReader& config, ModelSpec& spec);

}  // namespace guildhall
