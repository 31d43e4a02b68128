#include "checkpoint/config_keys.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/str_cat.h"

namespace guildhall {
namespace {

// Keys that change nothing in a forward pass, whatever their value.
constexpr std::string_view kHarmless[] = {
    // Bookkeeping.
    "transformers_version",
    "dtype",
    "torch_dtype",
    "use_cache",
    "auto_map",
    "name_or_path",
    "return_dict",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "task_specific_params",
    "finetuning_task",
    "tokenizer_class",
    "prefix",
    "torchscript",
    "use_bfloat16",
    "tf_legacy_loss",
    "pruned_heads",
    "keys_to_ignore_at_inference",
    "unsloth_version",
    "unsloth_fixed",
    "model_max_length",
    "is_decoder",
    "attn_implementation",
    "experts_implementation",
    "gradient_checkpointing",
    "qk_head_dim",
    "num_nextn_predict_layers",
    "num_mtp_layers",
    "ep_size",
    "pretraining_tp",
    // Training.
    "initializer_range",
    "attention_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "output_router_logits",
    "output_hidden_states",
    "output_attentions",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "aux_loss_alpha",
    "seq_aux",
    // Token ids; those that matter are read on their own.
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "cls_token_id",
    "mask_token_id",
    "decoder_start_token_id",
    // Defaults of generation, as older releases wrote them here.
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "num_return_sequences",
    "output_scores",
    "return_dict_in_generate",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "cross_attention_hidden_size",
};

// Keys with one value that changes nothing.
struct OnlyValue {
  std::string_view key;
  bool value;
};
constexpr OnlyValue kOnlyValues[] = {
    {"is_encoder_decoder", false}, {"add_cross_attention", false},         {"tie_encoder_decoder", false},
    {"use_mrope", false},          {"use_bidirectional_attention", false}, {"is_causal", true},
};

// Keys that change the result wherever they stand with a value, but for the neutral one, with the cure.
struct NotServed {
  std::string_view key;
  std::string_view cure;
  std::optional<double> neutral = std::nullopt;
};
constexpr NotServed kNotServed[] = {
    {"quantization_config", "quantised weights are not served: convert the checkpoint to BF16 first"},
    {"compression_config", "compressed weights are not served: convert the checkpoint to BF16 first"},
    {"per_layer_config", "layers that differ in shape are not served"},
    {"attention_chunk_size", "chunked attention is not served"},
    {"attn_logit_softcapping", "capped attention scores are not served"},
    {"final_logit_softcapping", "capped logits are not served"},
    {"logit_scale", "scaled logits are not served", 1.0},
    {"embedding_multiplier", "scaled embeddings are not served", 1.0},
    {"residual_multiplier", "scaled residuals are not served", 1.0},
};

// A key that some family has and this one has not, with the value that says what this one does anyway.
struct Statement {
  std::string_view key;
  Json value;
};

std::vector<Statement> Statements(const ModelSpec& spec) {
  const AttentionSpec& attention = spec.attention;
  const GateSpec& gate = spec.gate;
  const bool norms = attention.qk_norm != AttentionSpec::QkNorm::kNone;
  const bool biases = attention.q_bias && attention.k_bias && attention.v_bias;
  std::vector<Statement> statements{{"use_qk_norm", norms},
                                    {"qk_norm", norms},
                                    {"qk_layernorm", norms},
                                    {"qkv_bias", biases},
                                    {"use_qkv_bias", biases},
                                    {"attention_out_bias", attention.o_bias},
                                    {"mlp_bias", spec.mlp_bias},
                                    {"rope_interleave", attention.rope.interleaved},
                                    {"rope_interleaved", attention.rope.interleaved},
                                    {"shared_expert_intermediate_size", spec.shared_width},
                                    {"num_experts", gate.experts},
                                    {"num_local_experts", gate.experts},
                                    {"n_routed_experts", gate.experts}};
  if (spec.shared_width == 0) {
    statements.push_back({"n_shared_experts", 0});
    statements.push_back({"num_shared_experts", 0});
  }
  if (!spec.moe()) return statements;
  statements.push_back({"norm_topk_prob", gate.normalize});
  statements.push_back({"routed_scaling_factor", static_cast<double>(gate.scale)});
  statements.push_back(
      {"scoring_func", gate.activation == GateSpec::Activation::kSigmoid ? "sigmoid" : "softmax"});
  if (gate.selection == GateSpec::Selection::kTopK) {
    statements.push_back({"n_group", 1});
    statements.push_back({"topk_group", 1});
  }
  const bool all =
      std::all_of(spec.layers.begin(), spec.layers.end(), [](const auto& layer) { return layer.moe; });
  if (!all) return statements;
  for (const std::string_view key : {"decoder_sparse_step", "moe_layer_freq"}) statements.push_back({key, 1});
  statements.push_back({"first_k_dense_replace", 0});
  statements.push_back({"mlp_only_layers", Json::array()});
  return statements;
}

void CheckStatements(ConfigReader& config, const ModelSpec& spec) {
  const std::vector<std::string> own = config.object().Known();  // the family's, which has judged them
  for (const auto& [key, value] : Statements(spec)) {
    if (std::find(own.begin(), own.end(), key) != own.end()) continue;
    config.MustBe(key, value, "this family has no such key, and does what the expected value says");
  }
}

void CheckNotServed(ConfigReader& config) {
  for (const NotServed& refused : kNotServed) {
    const Json* value = config.object().Find(refused.key);
    const bool neutral =
        value != nullptr && refused.neutral && value->is_number() && value->get<double>() == *refused.neutral;
    if (!neutral) config.MustBeAbsent(refused.key, refused.cure);
  }
}

std::vector<std::string> KnownNames(const ConfigReader& config) {
  std::vector<std::string> names = config.object().Known();
  names.insert(names.end(), std::begin(kHarmless), std::end(kHarmless));
  return names;
}

}  // namespace

void CheckRemainingKeys(ConfigReader& config, const ModelSpec& spec) {
  const JsonObject& object = config.object();
  CheckStatements(config, spec);
  for (const std::string_view key : kHarmless) object.MarkRead(key);
  config.MustBe("chunk_size_feed_forward", 0);
  for (const OnlyValue& only : kOnlyValues) config.MustBe(only.key, only.value);
  CheckNotServed(config);
  const std::vector<std::string> known = KnownNames(config);
  for (const std::string& key : object.Unread()) {
    // A library's own notes: "_name_or_path", "_model_name_or_path", "_attn_implementation".
    const bool bookkeeping = key.starts_with('_');
    if (bookkeeping || !object.Has(key) || config.Waives(key)) continue;
    std::string text = StrCat("config.json: ", Quote(key), ": unknown key with the value ",
                              Quote(DumpJson(*object.Find(key)), 60));
    if (const auto near = NearestName(key, known)) StrAppend(&text, "; did you mean \"", *near, "\"?");
    config.problems().Add(StrCat(text, ". If it does not change the result, list it in ignore_config_keys"));
  }
}

}  // namespace guildhall
