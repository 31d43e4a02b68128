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

TEST_CASE("config keys: what is true of the family anyway may be said, and what is not is refused") {
  struct Said {
    Json base;
    const char* key;
    Json truth, lie;
  };
  const Json mixtral = {{"model_type", "mixtral"}};
  const Said table[] = {
      {Qwen3Moe(), "use_qk_norm", true, false},
      {Qwen3Moe(), "qk_layernorm", true, false},
      {Qwen3Moe(), "qkv_bias", false, true},
      {Qwen3Moe(), "shared_expert_intermediate_size", 0, 512},
      {Qwen3Moe(), "n_shared_experts", 0, 1},
      {Qwen3Moe(), "num_shared_experts", 0, 2},
      {Qwen3Moe(), "scoring_func", "softmax", "sigmoid"},
      {Qwen3Moe(), "routed_scaling_factor", 1.0, 2.5},
      {Qwen3Moe(), "n_group", 1, 8},
      {Qwen3Moe(), "moe_layer_freq", 1, 2},
      {Qwen3Moe(), "first_k_dense_replace", 0, 1},
      {Qwen3Moe(), "mlp_bias", false, true},
      {Qwen3Moe(), "rope_interleave", false, true},
      {Qwen3Moe(), "logit_scale", 1.0, 0.5},
      {Qwen3Moe(), "embedding_multiplier", 1, 12.0},
      {TinyOlmoeConfig(), "use_qk_norm", true, false},
      {TinyOlmoeConfig(), "decoder_sparse_step", 1, 2},
      {TinyOlmoeConfig(), "mlp_only_layers", Json::array(), Json::array({0})},
      {mixtral, "use_qk_norm", false, true},
      {mixtral, "norm_topk_prob", true, false},
      {mixtral, "n_routed_experts", 8, 16},
      {Qwen2(), "qkv_bias", true, false},
      {Qwen2(), "num_experts", 0, 8},
      {Llama(), "use_qk_norm", false, true},
      {Llama(), "qkv_bias", false, true},
      {V3(), "use_qk_norm", false, true},
      {V2(), "rope_interleave", true, false},
  };
  for (const Said& said : table) {
    INFO(DumpJson(said.base) << " " << said.key);
    CHECK(Refusal(said.base, said.key, said.truth) == "accepted");
    CHECK(ReadConfig(With(said.base, said.key, said.truth)).spec.gate.experts ==
          ReadConfig(said.base).spec.gate.experts);
    CHECK_THAT(Refusal(said.base, said.key, said.lie),
               Contains(said.key) && Contains("found " + DumpJson(said.lie)));
    CheckpointOptions options;
    options.ignore_config_keys = {said.key};
    CHECK(ReadConfig(With(said.base, said.key, said.lie), options).problems.empty());
  }
}

TEST_CASE("config keys: names that begin with an underscore are a library's own and stop no load") {
  for (const char* key :
       {"_name_or_path", "_model_name_or_path", "_attn_implementation", "_attn_implementation_internal",
        "_commit_hash", "_from_model_config", "_whatever_comes"}) {
    INFO(key);
    CHECK(Refusal(Qwen3Moe(), key, "a/path") == "accepted");
    CHECK(Refusal(Llama(), "rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}, {key, 1}}) ==
          "accepted");
  }
}

TEST_CASE("config keys: the operator's word reaches each rule that shapes no weights") {
  const std::pair<Json, std::pair<const char*, Json>> rules[] = {
      {Llama(), {"hidden_act", "gelu"}},
      {Llama(), {"attn_logit_softcapping", 50.0}},
      {Llama(), {"quantization_config", {{"bits", 4}}}},
      {Llama(), {"is_causal", false}},
      {Llama(), {"sliding_window", 4096}},
      {Llama(), {"use_sliding_window", true}},
      {Llama(), {"partial_rotary_factor", 0.5}},
      {Llama(), {"chunk_size_feed_forward", 2}},
      {Llama(), {"architectures", {"MyLlama"}}},
      {Llama(), {"layer_types", {"linear_attention"}}},
      {Llama(), {"layer_types", {"sliding_attention", "full_attention", "full_attention", "full_attention"}}},
      {Qwen2Moe(), {"attention_bias", false}},
      {With(Minimal("mixtral", "MixtralForCausalLM"), "num_local_experts", 4), {"attention_bias", true}},
      {V2(), {"norm_topk_prob", true}},
      {V2(), {"scoring_func", "sigmoid"}},
      {V2(), {"topk_method", "new"}},
      {V2(), {"moe_layer_freq", 2}},
      {V3(), {"topk_method", "new"}},
      {V3(), {"num_key_value_heads", 2}},
      {V3(), {"head_dim", 192}},
  };
  for (const auto& [base, rule] : rules) {
    INFO(DumpJson(base) << " " << rule.first);
    CHECK(Refusal(base, rule.first, rule.second) != "accepted");
    CheckpointOptions options;
    options.ignore_config_keys = {rule.first};
    CHECK(ReadConfig(With(base, rule.first, rule.second), options).problems.empty());
  }
  CheckpointOptions options;
  options.ignore_config_keys = {"rope_scaling.rope_type", "rope_scaling.short_factor"};
  const Json longrope = {{"rope_type", "longrope"}, {"short_factor", {1.0}}, {"factor", 4.0}};
  CHECK(ReadConfig(With(Llama(), "rope_scaling", longrope), options).problems.empty());
  // What shapes the weights is as it is said.
  options.ignore_config_keys = {"num_key_value_heads", "hidden_size"};
  CHECK_FALSE(ReadConfig(With(Llama(), "num_key_value_heads", 3), options).problems.empty());
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

TEST_CASE("a waiver that waives nothing is said, one that does is not") {
  CheckpointOptions options;
  options.ignore_config_keys = {"needed", "rope_scaling.needed", "not_there", "hidden_size",
                                "rope_scaling.no"};
  Json json = With(Llama(), "needed", 3);
  json["rope_scaling"] = Json{{"rope_type", "linear"}, {"factor", 2.0}, {"needed", 3}};
  const Read read = ReadConfig(json, options);
  CHECK(read.problems.empty());
  REQUIRE(read.notes.size() == 3);
  CHECK_THAT(read.notes[0], Contains("ignore_config_keys: \"not_there\": config.json has no such key"));
  CHECK_THAT(read.notes[1], Contains("\"hidden_size\": config.json is read in the same way without it"));
  CHECK_THAT(read.notes[2], Contains("\"rope_scaling.no\": config.json has no such key"));
}

}  // namespace
}  // namespace guildhall
