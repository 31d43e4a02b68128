// adapter_config.json key by key: what is not served, what is harmless, what is malformed.
#include <catch2/catch.hpp>

#include "tests/adapters/adapter_builder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

}  // namespace

TEST_CASE("every variant of PEFT that is not served is refused by the name of its key") {
  const struct {
    const char* key;
    Json value;
  } kVariants[] = {
      {"bias", "all"},
      {"bias", "lora_only"},
      {"lora_bias", true},
      {"modules_to_save", {"lm_head"}},
      {"fan_in_fan_out", true},
      {"layer_replication", Json::array({{0, 1}})},
      {"trainable_token_indices", {1, 2}},
      {"use_qalora", true},
      {"alora_invocation_tokens", {1}},
      {"peft_type", "IA3"},
      {"peft_type", "ADALORA"},
      {"task_type", "SEQ_CLS"},
      {"init_lora_weights", "pissa"},
      {"init_lora_weights", "pissa_niter_16"},
      {"init_lora_weights", "olora"},
      {"init_lora_weights", "corda"},
      {"init_lora_weights", "loftq"},
      {"init_lora_weights", "lora_ga"},
      {"init_lora_weights", "made_tomorrow"},
      {"megatron_config", {{"tensor_model_parallel_size", 2}}},
      {"arrow_config", {{"top_k", 3}}},
      {"use_bdlora", {{"nblocks", 2}}},
      {"kasa_config", {{"beta", 1.0}}},
      {"velora_config", {{"num_groups", 4}}},
      {"monteclora_config", {{"num_samples", 4}}},
      {"lora_ga_config", {{"scale", "stable"}}},
      {"ensure_weight_tying", true},
      {"a_key_of_tomorrow", 1},
      {"a_key_of_tomorrow", "x"},
  };
  for (const auto& variant : kVariants) {
    Json config = PeftConfigJson({"q_proj"});
    config[variant.key] = variant.value;
    absl::StatusCode code;
    const std::string refusal = PeftRefusal(config, QFactors(), &code);
    INFO(variant.key << ": " << refusal);
    CHECK(code == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(refusal, Contains(std::string("adapter_config.json: ") + variant.key + ": expected"));
    CHECK_THAT(refusal, Contains("found"));
  }
}

TEST_CASE("null, false and harmless keys change nothing") {
  Json config = PeftConfigJson({"q_proj"});
  for (const char* key :
       {"a_key_of_tomorrow", "use_bdlora", "kasa_config", "modules_to_save", "layers_to_transform",
        "rank_pattern", "exclude_modules", "target_parameters", "peft_version"}) {
    config[key] = nullptr;
  }
  for (const char* key : {"another_key_of_tomorrow", "use_dora", "use_rslora", "lora_bias"})
    config[key] = false;
  config["modules_to_save"] = Json::array();
  config["target_parameters"] = Json::array();
  config["lora_dropout"] = 0.1;
  config["inference_mode"] = true;
  config["auto_mapping"] = {{"base_model_class", "OlmoeForCausalLM"}};
  config["init_lora_weights"] = "gaussian";
  CHECK(PeftRefusal(config, QFactors()) == "");
}

TEST_CASE("values of the wrong type are malformed, named with what was found") {
  const struct {
    const char* key;
    Json value;
  } kValues[] = {
      {"r", 2.5},
      {"r", "2"},
      {"r", 0},
      {"r", -1},
      {"r", 1e30},
      {"r", nullptr},
      {"lora_alpha", "4"},
      {"lora_alpha", Json::array()},
      {"lora_alpha", 1e300},
      {"alpha_pattern", {{"q_proj", -1e300}}},
      {"target_modules", 3},
      {"target_modules", {1, 2}},
      {"target_modules", {""}},
      {"target_modules", Json::array()},
      {"target_modules", nullptr},
      {"target_modules", {{"q_proj", 1}}},
      {"use_dora", "yes"},
      {"use_rslora", 1},
      {"rank_pattern", {1}},
      {"rank_pattern", {{"q_proj", 0}}},
      {"alpha_pattern", {{"q_proj", "x"}}},
      {"layers_to_transform", "0"},
      {"layers_to_transform", {"0"}},
      {"target_parameters", 1},
      {"peft_type", 1},
      {"base_model_name_or_path", 1},
      {"peft_version", 0.18},
  };
  for (const auto& value : kValues) {
    Json config = PeftConfigJson({"q_proj"});
    config[value.key] = value.value;
    absl::StatusCode code;
    const std::string refusal = PeftRefusal(config, QFactors(), &code);
    INFO(value.key << " " << value.value << ": " << refusal);
    CHECK(code == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(refusal, Contains(std::string(value.key)));
  }
  CHECK_THAT(PeftRefusal(Json::array(), QFactors()), Contains("expected an object"));
}

}  // namespace guildhall
