// config.json of published models, written down from their pages, against what is known of them.
#include <catch2/catch.hpp>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/inspect.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

std::string Folder(const std::string& name) {
  return GUILDHALL_SOURCE_DIR "/tests/checkpoint/configs/" + name;
}

ModelSpec Spec(const std::string& name) {
  const auto text = ReadSmallFile(Folder(name) + "/config.json", 1 << 20);
  REQUIRE(text.ok());
  const auto json = ParseJson(*text, "config.json");
  REQUIRE(json.ok());
  Problems problems;
  const HfConfig config = ReadHfConfig(*json, {}, problems);
  INFO(problems.ToStatus().ToString());
  REQUIRE(problems.empty());
  CHECK(config.notes.empty());
  return config.spec;
}

int MoeLayers(const ModelSpec& spec) {
  int count = 0;
  for (const LayerSpec& layer : spec.layers) count += layer.moe;
  return count;
}

// The Mixture-of-Experts models of served families that are used most. `refused`: by what, where the weights
// are quantised; empty: served. Billions of parameters as the model cards round them.
struct Published {
  const char* name;
  double total, active;
  const char* refused;
};
const Published kPublished[] = {
    {"deepseek_coder_v2_lite_instruct", 15.7, 2.7, ""},
    {"deepseek_r1", 671, 37.6, "quantization_config"},
    {"deepseek_v2", 236, 21.4, ""},
    {"deepseek_v2_lite", 15.7, 2.7, ""},
    {"deepseek_v2_lite_chat", 15.7, 2.7, ""},
    {"deepseek_v3_1", 671, 37.6, "quantization_config"},
    {"deepseek_v3_bf16", 671, 37.6, ""},
    {"deepseek_v3_fp8", 671, 37.6, "quantization_config"},
    {"esft_vanilla_lite", 15.7, 2.7, ""},
    {"mixtral_8x22b", 140.6, 39.1, ""},
    {"mixtral_8x7b", 46.7, 12.9, ""},
    {"mixtral_8x7b_instruct", 46.7, 12.9, ""},
    {"moonlight_16b_a3b_instruct", 16.0, 2.9, ""},
    {"olmoe_1b_7b", 6.9, 1.3, ""},
    {"olmoe_1b_7b_0125_instruct", 6.9, 1.3, ""},
    {"qwen1_5_moe_a2_7b", 14.3, 2.7, ""},
    {"qwen1_5_moe_a2_7b_chat_gptq_int4", 14.3, 2.7, "quantization_config"},
    {"qwen2_57b_a14b", 57.4, 14.2, ""},
    {"qwen3_235b_a22b", 235.1, 22.2, ""},
    {"qwen3_235b_a22b_fp8", 235.1, 22.2, "quantization_config"},
    {"qwen3_235b_a22b_instruct_2507", 235.1, 22.2, ""},
    {"qwen3_30b_a3b", 30.5, 3.4, ""},
    {"qwen3_30b_a3b_fp8", 30.5, 3.4, "quantization_config"},
    {"qwen3_30b_a3b_instruct_2507", 30.5, 3.4, ""},
    {"qwen3_coder_30b_a3b_instruct", 30.5, 3.4, ""},
    {"qwen3_coder_480b_a35b_instruct", 480.2, 35.5, ""},
};

// The yarn magnitude at factor 40, by hand: 0.1 ln(40) + 1.
constexpr double kMagnitude40 = 1.3688879454113936;

TEST_CASE(
    "published: the most used models of our families load, or are refused for quantised weights alone") {
  CHECK(std::size(kPublished) >= 25);
  for (const Published& model : kPublished) {
    INFO(model.name);
    const auto inspection = Inspect(Folder(model.name));
    REQUIRE(inspection.ok());
    CHECK(std::abs(static_cast<double>(inspection->parameters) * 1e-9 - model.total) < model.total / 100);
    CHECK(std::abs(static_cast<double>(inspection->active_parameters) * 1e-9 - model.active) <
          model.active / 30);
    std::vector<std::string> refused;
    for (const Problem& problem : inspection->problems) {
      if (problem.text.find("config.json: ") != std::string::npos) refused.push_back(problem.text);
    }
    for (const std::string& text : refused) UNSCOPED_INFO(text);
    CHECK(refused.size() == (*model.refused == 0 ? 0 : 1));
    if (refused.size() == 1) CHECK_THAT(refused.front(), Contains(model.refused));
  }
}

TEST_CASE("published: total and active parameters are those of the model cards") {
  struct Known {
    const char* name;
    int64_t total, active;
  };
  const Known known = GENERATE(
      Known{"olmoe_1b_7b", 6919161856, 1282017280}, Known{"mixtral_8x7b", 46702792704, 12879925248},
      Known{"qwen1_5_moe_a2_7b", 14315784192, 2689173504}, Known{"qwen3_30b_a3b", 30532122624, 3353032704},
      Known{"deepseek_v2_lite", 15706484224, 2661150208}, Known{"esft_vanilla_lite", 15706484224, 2661150208},
      Known{"deepseek_v3_bf16", 671026419200, 37552297472}, Known{"llama_3_1_8b", 8030261248, 8030261248},
      Known{"qwen2_5_7b", 7615616512, 7615616512}, Known{"qwen3_0_6b", 596049920, 596049920});
  INFO(known.name);
  const auto inspection = Inspect(Folder(known.name));
  REQUIRE(inspection.ok());
  CHECK(inspection->parameters == known.total);
  CHECK(inspection->active_parameters == known.active);
  CHECK(inspection->weight_bytes == known.total * 2);
}

TEST_CASE("published: OLMoE-1B-7B") {
  const ModelSpec spec = Spec("olmoe_1b_7b");
  CHECK(spec.architecture == "OlmoeForCausalLM");
  CHECK(spec.dtype == DType::kBF16);
  CHECK(spec.max_positions == 4096);
  CHECK(spec.norm_eps == 1e-5f);
  CHECK(spec.eos_tokens == std::vector<int32_t>{50279});
  CHECK(spec.bos_token == -1);
  CHECK(spec.attention.qk_norm == AttentionSpec::QkNorm::kFullWidth);
  CHECK(spec.attention.head_dim == 128);
  CHECK(spec.attention.clip_qkv == 0.0f);
  CHECK_FALSE(spec.attention.q_bias);
  CHECK(spec.attention.softmax_scale == Approx(1.0 / std::sqrt(128.0)));
  CHECK(spec.gate.experts == 64);
  CHECK(spec.gate.k == 8);
  CHECK_FALSE(spec.gate.normalize);
  CHECK(spec.expert_width == 1024);
  CHECK(spec.dense_width == 0);
  CHECK(MoeLayers(spec) == 16);
}

TEST_CASE("published: Mixtral-8x7B") {
  const ModelSpec spec = Spec("mixtral_8x7b");
  CHECK(spec.attention.kv_heads == 8);
  CHECK(spec.attention.rope.theta == 1e6);
  CHECK(spec.layers[0].sliding_window == 0);
  CHECK(spec.gate.experts == 8);
  CHECK(spec.gate.k == 2);
  CHECK(spec.gate.normalize);
  CHECK(spec.expert_width == 14336);
  CHECK(spec.bos_token == 1);
}

TEST_CASE("published: Qwen1.5-MoE-A2.7B") {
  const ModelSpec spec = Spec("qwen1_5_moe_a2_7b");
  CHECK(spec.attention.q_bias);
  CHECK(spec.attention.v_bias);
  CHECK_FALSE(spec.attention.o_bias);
  CHECK(spec.shared_width == 5632);
  CHECK(spec.shared_gate);
  CHECK(spec.expert_width == 1408);
  CHECK(spec.gate.k == 4);
  CHECK_FALSE(spec.gate.normalize);
  CHECK(spec.layers[23].sliding_window == 0);  // use_sliding_window is false
  CHECK(MoeLayers(spec) == 24);
}

TEST_CASE("published: Qwen3-30B-A3B") {
  const ModelSpec spec = Spec("qwen3_30b_a3b");
  CHECK(spec.attention.qk_norm == AttentionSpec::QkNorm::kPerHead);
  CHECK(spec.attention.head_dim == 128);
  CHECK(spec.attention.kv_heads == 4);
  CHECK(spec.gate.experts == 128);
  CHECK(spec.gate.normalize);
  CHECK(spec.shared_width == 0);
  CHECK(spec.max_positions == 40960);
}

TEST_CASE("published: DeepSeek-V2-Lite") {
  const ModelSpec spec = Spec("deepseek_v2_lite");
  const AttentionSpec& a = spec.attention;
  CHECK(a.kind == AttentionSpec::Kind::kLatent);
  CHECK(a.q_lora_rank == 0);
  CHECK(a.kv_lora_rank == 512);
  CHECK(a.qk_nope_dim == 128);
  CHECK(a.qk_rope_dim == 64);
  CHECK(a.v_head_dim == 128);
  CHECK(a.latent_norm_eps == 1e-6f);
  CHECK(a.rope.kind == RopeSpec::Kind::kYarn);
  CHECK(a.rope.interleaved);
  CHECK(a.rope.rotary_dim == 64);
  CHECK(a.rope.factor == 40.0);
  CHECK(a.rope.original_max_positions == 4096);
  CHECK(a.rope.attention_factor == Approx(1.0));  // mscale equals mscale_all_dim
  const double magnitude = 0.0707 * std::log(40.0) + 1.0;
  CHECK(a.softmax_scale == Approx(magnitude * magnitude / std::sqrt(192.0)));
  CHECK(spec.max_positions == 163840);
  CHECK(MoeLayers(spec) == 26);
  CHECK_FALSE(spec.layers[0].moe);
  CHECK(spec.dense_width == 10944);
  CHECK(spec.expert_width == 1408);
  CHECK(spec.shared_width == 2816);
  CHECK_FALSE(spec.shared_gate);
  CHECK(spec.gate.activation == GateSpec::Activation::kSoftmaxAll);
  CHECK(spec.gate.selection == GateSpec::Selection::kTopK);
  CHECK(spec.gate.k == 6);
  CHECK(spec.gate.scale == 1.0f);
}

TEST_CASE("published: ESFT-vanilla-lite is the same model with 4096 plain positions") {
  const ModelSpec spec = Spec("esft_vanilla_lite");
  CHECK(spec.attention.rope.kind == RopeSpec::Kind::kDefault);
  CHECK(spec.attention.softmax_scale == Approx(1.0 / std::sqrt(192.0)));
  CHECK(spec.max_positions == 4096);
  const auto inspection = Inspect(Folder("esft_vanilla_lite"));
  REQUIRE(inspection.ok());
  CHECK(inspection->expert_bytes == 8650752 * 2);         // 8,650,752 parameters
  CHECK(inspection->kv_bytes_per_token == 27 * 576 * 2);  // the latent form, not 16 heads
}

TEST_CASE("published: DeepSeek-V3") {
  const ModelSpec spec = Spec("deepseek_v3_bf16");
  CHECK(spec.attention.q_lora_rank == 1536);
  CHECK(spec.attention.rope.interleaved);
  CHECK(spec.attention.softmax_scale == Approx(kMagnitude40 * kMagnitude40 / std::sqrt(192.0)));
  CHECK(MoeLayers(spec) == 58);
  const GateSpec& gate = spec.gate;
  CHECK(gate.activation == GateSpec::Activation::kSigmoid);
  CHECK(gate.selection == GateSpec::Selection::kGroupLimitedTopK);
  CHECK(gate.group_score == GateSpec::GroupScore::kSumOfTop2);
  CHECK(gate.groups == 8);
  CHECK(gate.groups_kept == 4);
  CHECK(gate.selection_bias);
  CHECK(gate.normalize);
  CHECK(gate.epsilon == 1e-20f);
  CHECK(gate.scale == 2.5f);
}

TEST_CASE("published: DeepSeek-V3 as it is published is refused for its fp8 weights, with the cure") {
  const auto inspection = Inspect(Folder("deepseek_v3_fp8"));
  REQUIRE(inspection.ok());
  CHECK_FALSE(inspection->served);
  CHECK_THAT(inspection->problems.at(0).text,
             Contains("config.json: quantization_config") && Contains("convert the checkpoint to BF16"));
  CHECK(inspection->parameters == 671026419200);
}

TEST_CASE("published: Llama-3.1-8B") {
  const RopeSpec rope = Spec("llama_3_1_8b").attention.rope;
  CHECK(rope.kind == RopeSpec::Kind::kLlama3);
  CHECK(rope.theta == 500000.0);
  CHECK(rope.factor == 8.0);
  CHECK(rope.low_freq_factor == 1.0);
  CHECK(rope.high_freq_factor == 4.0);
  CHECK(rope.original_max_positions == 8192);
  CHECK(rope.attention_factor == 1.0);
  CHECK_FALSE(rope.interleaved);
}

TEST_CASE("published: Qwen2.5-7B and Qwen3-0.6B") {
  const ModelSpec qwen2 = Spec("qwen2_5_7b");
  CHECK(qwen2.attention.k_bias);
  CHECK_FALSE(qwen2.attention.o_bias);
  CHECK(qwen2.attention.qk_norm == AttentionSpec::QkNorm::kNone);
  CHECK_FALSE(qwen2.moe());
  CHECK(qwen2.layers[27].sliding_window == 0);
  const ModelSpec qwen3 = Spec("qwen3_0_6b");
  CHECK(qwen3.tied_embeddings);
  CHECK(qwen3.attention.head_dim == 128);  // wider than hidden / heads
  CHECK(qwen3.attention.qk_norm == AttentionSpec::QkNorm::kPerHead);
}

}  // namespace
}  // namespace guildhall
