// Each key of config.json is honoured, harmless or refused by name.
#include <catch2/catch.hpp>
#include <string>

#include "checkpoint/hf_config.h"
#include "tests/checkpoint/tiny_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

struct Read {
  ModelSpec spec;
  std::vector<Problem> problems;
  std::vector<std::string> notes;
};

Read ReadConfig(const Json& json, const CheckpointOptions& options = {}) {
  Problems problems;
  HfConfig config = ReadHfConfig(json, options, problems);
  return {std::move(config.spec), problems.list(), std::move(config.notes)};
}

Json With(Json json, const std::string& key, const Json& value) {
  json[key] = value;
  return json;
}

// The single problem that `key: value` makes of an otherwise good file.
std::string Refusal(const Json& base, const std::string& key, const Json& value) {
  const Read read = ReadConfig(With(base, key, value));
  if (read.problems.empty()) return "accepted";
  CHECK(read.problems.size() == 1);
  return read.problems.front().text;
}

Json Minimal(const std::string& family, const std::string& architecture) {
  return {{"model_type", family},     {"architectures", {architecture}}, {"hidden_size", 32},
          {"num_attention_heads", 4}, {"num_key_value_heads", 4},        {"num_hidden_layers", 4},
          {"vocab_size", 50},         {"intermediate_size", 16},         {"num_experts_per_tok", 2}};
}
Json Llama() {
  Json json = Minimal("llama", "LlamaForCausalLM");
  json.erase("num_experts_per_tok");
  return json;
}
Json Qwen2() {
  Json json = Minimal("qwen2", "Qwen2ForCausalLM");
  json.erase("num_experts_per_tok");
  return json;
}
Json Qwen2Moe() {
  return With(Minimal("qwen2_moe", "Qwen2MoeForCausalLM"), "num_experts", 8);
}
Json Qwen3Moe() {
  return With(Minimal("qwen3_moe", "Qwen3MoeForCausalLM"), "num_experts", 8);
}
Json V2() {
  return With(Minimal("deepseek_v2", "DeepseekV2ForCausalLM"), "n_routed_experts", 8);
}
Json V3() {
  return With(
      With(With(Minimal("deepseek_v3", "DeepseekV3ForCausalLM"), "n_routed_experts", 8), "n_group", 4),
      "topk_group", 2);
}

TEST_CASE("config keys: the minimal files of these tests are good as they are") {
  for (const Json& json : {Llama(), Qwen2(), Qwen2Moe(), Qwen3Moe(), V2(), V3(), TinyOlmoeConfig()}) {
    const Read read = ReadConfig(json);
    INFO(DumpJson(json));
    for (const Problem& problem : read.problems) UNSCOPED_INFO(problem.text);
    CHECK(read.problems.empty());
  }
}

TEST_CASE("config keys: an unknown key is refused with its value, the nearest name and the cure") {
  const std::string text = Refusal(Llama(), "rope_thetta", 5);
  CHECK_THAT(text, Contains("config.json: \"rope_thetta\": unknown key with the value \"5\""));
  CHECK_THAT(text, Contains("did you mean \"rope_theta\"?"));
  CHECK_THAT(text, Contains("ignore_config_keys"));
  CHECK(Refusal(Llama(), "rope_thetta", nullptr) == "accepted");  // null is absent
  CheckpointOptions options;
  options.ignore_config_keys = {"rope_thetta"};
  CHECK(ReadConfig(With(Llama(), "rope_thetta", 5), options).problems.empty());
}

TEST_CASE("config keys: training, bookkeeping and generation keys are harmless") {
  for (const char* key :
       {"attention_dropout", "initializer_range", "router_aux_loss_coef", "output_router_logits", "auto_map",
        "transformers_version", "use_cache", "temperature", "num_nextn_predict_layers", "ep_size",
        "pretraining_tp", "aux_loss_alpha"}) {
    INFO(key);
    CHECK(Refusal(Llama(), key, 1) == "accepted");
  }
}

TEST_CASE("config keys: keys that would change the result are refused by name") {
  CHECK_THAT(Refusal(Llama(), "hidden_act", "gelu"), Contains("hidden_act: expected silu, found \"gelu\""));
  CHECK(Refusal(Llama(), "hidden_act", "swish") == "accepted");
  for (const char* key : {"quantization_config", "compression_config", "attention_chunk_size",
                          "attn_logit_softcapping", "final_logit_softcapping", "logit_scale",
                          "embedding_multiplier", "residual_multiplier", "per_layer_config"}) {
    INFO(key);
    CHECK_THAT(Refusal(Llama(), key, {{"bits", 4}}), Contains(key) && Contains("not served"));
    CHECK(Refusal(Llama(), key, nullptr) == "accepted");
  }
  CHECK_THAT(Refusal(Llama(), "is_causal", false), Contains("is_causal: expected true, found false"));
  CHECK_THAT(Refusal(Llama(), "is_encoder_decoder", true), Contains("is_encoder_decoder: expected false"));
  CHECK_THAT(Refusal(Llama(), "use_bidirectional_attention", true), Contains("use_bidirectional_attention"));
  CHECK_THAT(Refusal(Llama(), "sliding_window", 4096), Contains("this family has no windows"));
  CHECK_THAT(Refusal(Llama(), "partial_rotary_factor", 0.5),
             Contains("partial_rotary_factor: expected 1, found 0.5"));
  CHECK_THAT(Refusal(Qwen2(), "attention_bias", true), Contains("attention_bias"));
  CHECK_THAT(Refusal(Qwen2Moe(), "attention_bias", false), Contains("this family's key is qkv_bias"));
  CHECK_THAT(Refusal(TinyOlmoeConfig(), "sliding_window", 10), Contains("sliding_window"));
}

TEST_CASE("config keys: values of the wrong type or out of range name the key, the expected and the found") {
  CHECK_THAT(Refusal(Llama(), "hidden_size", "32"),
             Contains("hidden_size: expected an integer from 1 to 16777216, found \"32\""));
  CHECK_THAT(Refusal(Llama(), "num_hidden_layers", 1e9),
             Contains("num_hidden_layers: expected an integer from 1 to 4096"));
  CHECK_THAT(Refusal(Llama(), "num_hidden_layers", 0), Contains("found 0"));
  CHECK_THAT(Refusal(Llama(), "num_hidden_layers", -1), Contains("found -1"));
  CHECK_THAT(Refusal(Llama(), "vocab_size", 18446744073709551615u), Contains("found 18446744073709551615"));
  CHECK_THAT(Refusal(Llama(), "rms_norm_eps", 0), Contains("rms_norm_eps: expected a number above 0"));
  CHECK_THAT(Refusal(Llama(), "tie_word_embeddings", 1), Contains("expected true or false, found 1"));
  CHECK_THAT(Refusal(Llama(), "num_key_value_heads", 3), Contains("a divisor of num_attention_heads (4)"));
  CHECK_THAT(Refusal(Llama(), "hidden_size", 34), Contains("a multiple of num_attention_heads"));
  CHECK_THAT(Refusal(Llama(), "head_dim", 7), Contains("rope needs heads of an even width, found 7"));
  CHECK_THAT(Refusal(Llama(), "eos_token_id", "end"), Contains("eos_token_id: expected a token id"));
  CHECK_THAT(Refusal(TinyOlmoeConfig(), "num_experts_per_tok", 3), Contains("from 1 to 2, found 3"));
  CHECK_THAT(Refusal(TinyOlmoeConfig(), "clip_qkv", -1), Contains("clip_qkv: expected a number above 0"));
  CHECK_THAT(Refusal(TinyOlmoeConfig(), "head_dim", 4), Contains("hidden_size / num_attention_heads (2)"));
}

TEST_CASE("config keys: all faults of a file are reported, not only the first") {
  const Read read = ReadConfig(With(With(Llama(), "hidden_act", "gelu"), "new_key", 1));
  CHECK(read.problems.size() == 2);
}

TEST_CASE("config keys: what is not an object, or of an unknown family, is one problem") {
  CHECK_THAT(ReadConfig(Json::array()).problems.at(0).text, Contains("expected an object"));
  const std::string unknown = Refusal(Llama(), "model_type", "gpt2");
  CHECK_THAT(unknown, Contains("model_type: expected one of mixtral, olmoe") && Contains("found \"gpt2\""));
  CHECK_THAT(Refusal(Llama(), "architectures", {"LlamaForSequenceClassification"}),
             Contains("LlamaForCausalLM"));
  Json by_architecture = Llama();
  by_architecture.erase("model_type");
  CHECK(ReadConfig(by_architecture).spec.family == "llama");
  by_architecture.erase("architectures");
  CHECK_THAT(ReadConfig(by_architecture).problems.at(0).text,
             Contains("model_type") && Contains("found nothing"));
}

TEST_CASE("config keys: names with the same meaning are read, contradictions refused") {
  Json json = Qwen3Moe();
  json.erase("num_experts");
  json["num_local_experts"] = 6;
  CHECK(ReadConfig(json).spec.gate.experts == 6);
  json["num_experts"] = 6;
  CHECK(ReadConfig(json).problems.empty());
  CHECK_THAT(Refusal(json, "num_experts", 7),
             Contains("num_local_experts: expected the same value as num_experts (7)"));
}

TEST_CASE("config keys: absent keys mean what transformers assumes") {
  const Json bare = {{"model_type", "mixtral"}};
  const Read mixtral = ReadConfig(bare);
  CHECK(mixtral.problems.empty());
  CHECK(mixtral.spec.attention.kv_heads == 8);
  CHECK(mixtral.spec.attention.rope.theta == 1e6);
  CHECK(mixtral.spec.norm_eps == 1e-5f);
  CHECK(mixtral.spec.gate.experts == 8);
  CHECK(ReadConfig(With(bare, "num_key_value_heads", nullptr)).spec.attention.kv_heads == 32);
  CHECK(ReadConfig({{"model_type", "qwen3"}}).spec.attention.head_dim == 128);
  const Read v3 = ReadConfig({{"model_type", "deepseek_v3"}});
  CHECK(v3.problems.empty());
  CHECK(v3.spec.attention.q_lora_rank == 1536);
  CHECK(v3.spec.gate.normalize);
  CHECK(v3.spec.gate.scale == 2.5f);
  CHECK_FALSE(v3.spec.layers[2].moe);
  CHECK(v3.spec.layers[3].moe);
  CHECK_THAT(ReadConfig({{"model_type", "deepseek_v2"}}).problems.at(0).text,
             Contains("num_experts_per_tok"));
}

TEST_CASE("config keys: which Qwen layers are MoE, and which are windowed") {
  Json json = With(With(Qwen2Moe(), "decoder_sparse_step", 2), "mlp_only_layers", {3});
  ModelSpec spec = ReadConfig(json).spec;
  CHECK_FALSE(spec.layers[0].moe);
  CHECK(spec.layers[1].moe);
  CHECK_FALSE(spec.layers[2].moe);
  CHECK_FALSE(spec.layers[3].moe);  // listed
  CHECK_THAT(Refusal(json, "mlp_only_layers", {4}), Contains("layers from 0 to 3"));

  json = With(With(With(Qwen2(), "use_sliding_window", true), "sliding_window", 10), "max_window_layers", 3);
  spec = ReadConfig(json).spec;
  CHECK(spec.layers[2].sliding_window == 0);
  CHECK(spec.layers[3].sliding_window == 10);
  json["layer_types"] = {"sliding_attention", "full_attention", "full_attention", "full_attention"};
  spec = ReadConfig(json).spec;
  CHECK(spec.layers[0].sliding_window == 10);
  CHECK(spec.layers[3].sliding_window == 0);
  CHECK_THAT(Refusal(json, "layer_types", {"full_attention"}), Contains("for each of the 4 layers"));
  CHECK_THAT(Refusal(json, "layer_types", {"chunked_attention", "a", "b", "c"}), Contains("layer_types"));
  CHECK_THAT(Refusal(json, "use_sliding_window", false), Contains("expected full_attention for layer 0"));

  json = With(With(Qwen2Moe(), "use_sliding_window", true), "sliding_window", 10);
  CHECK_THAT(ReadConfig(json).problems.at(0).text,
             Contains("layer_types") && Contains("releases of transformers disagree"));
  json = With(With(Qwen3Moe(), "use_sliding_window", true), "sliding_window", 10);
  for (const LayerSpec& layer : ReadConfig(json).spec.layers) CHECK(layer.sliding_window == 10);
}

TEST_CASE("config keys: DeepSeek routers") {
  Json grouped = With(With(With(V2(), "topk_method", "group_limited_greedy"), "n_group", 4), "topk_group", 2);
  const GateSpec gate = ReadConfig(grouped).spec.gate;
  CHECK(gate.selection == GateSpec::Selection::kGroupLimitedTopK);
  CHECK(gate.group_score == GateSpec::GroupScore::kMax);
  CHECK(gate.groups == 4);
  CHECK(gate.groups_kept == 2);
  CHECK_FALSE(gate.normalize);
  CHECK_THAT(Refusal(grouped, "n_group", 3), Contains("a divisor of 8 experts"));
  CHECK_THAT(Refusal(grouped, "topk_group", 5), Contains("at most n_group (4)"));
  CHECK_THAT(Refusal(With(grouped, "num_experts_per_tok", 4), "topk_group", 1),
             Contains("enough groups for 4 experts"));
  CHECK_THAT(Refusal(V2(), "topk_method", "noaux_tc"),
             Contains("topk_method: expected greedy or group_limited_greedy"));
  CHECK_THAT(Refusal(V2(), "norm_topk_prob", true), Contains("norm_topk_prob: expected false"));
  CHECK_THAT(Refusal(V2(), "scoring_func", "sigmoid"), Contains("scoring_func: expected \"softmax\""));
  CHECK_THAT(Refusal(V2(), "moe_layer_freq", 2), Contains("moe_layer_freq: expected 1"));
  CHECK_THAT(Refusal(V2(), "num_key_value_heads", 2),
             Contains("num_key_value_heads: expected num_attention_heads (4)"));
  CHECK_THAT(Refusal(V3(), "topk_method", "greedy"), Contains("topk_method: expected \"noaux_tc\""));
  CHECK_THAT(Refusal(V3(), "scoring_func", "softmax"), Contains("scoring_func"));
  CHECK_THAT(Refusal(V3(), "n_group", 8), Contains("at least 2 experts in a group"));
  CHECK_THAT(Refusal(V3(), "head_dim", 5), Contains("qk_rope_head_dim (64)"));
  CHECK(Refusal(V3(), "rope_interleave", false) == "accepted");
  CHECK_FALSE(ReadConfig(With(V3(), "rope_interleave", false)).spec.attention.rope.interleaved);
}

TEST_CASE("config keys: token ids outside the vocabulary are dropped with a note") {
  const Read read = ReadConfig(With(Llama(), "eos_token_id", {2, 128009}));
  CHECK(read.problems.empty());
  CHECK(read.spec.eos_tokens == std::vector<int32_t>{2});
  REQUIRE(read.notes.size() == 1);
  CHECK_THAT(read.notes[0], Contains("128009 is outside the vocabulary of 50"));
}

}  // namespace
}  // namespace guildhall
