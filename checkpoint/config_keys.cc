#include "checkpoint/config_keys.h"

#include <algorithm>
#include <string_view>

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
    "_name_or_path",
    "name_or_path",
    "_commit_hash",
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
    "_attn_implementation",
    "_attn_implementation_autoset",
    "attn_implementation",
    "experts_implementation",
    "_experts_implementation",
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
    {"use_qk_norm", false},
};

// Keys that change the result wherever they stand with a value, with the cure.
struct NotServed {
  std::string_view key;
  std::string_view cure;
};
constexpr NotServed kNotServed[] = {
    {"quantization_config", "quantised weights are not served: convert the checkpoint to BF16 first"},
    {"compression_config", "compressed weights are not served: convert the checkpoint to BF16 first"},
    {"per_layer_config", "layers that differ in shape are not served"},
    {"attention_chunk_size", "chunked attention is not served"},
    {"attn_logit_softcapping", "capped attention scores are not served"},
    {"final_logit_softcapping", "capped logits are not served"},
    {"logit_scale", "scaled logits are not served"},
    {"embedding_multiplier", "scaled embeddings are not served"},
    {"residual_multiplier", "scaled residuals are not served"},
};

bool Listed(const std::vector<std::string>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

std::vector<std::string> KnownNames(const ConfigReader& config) {
  std::vector<std::string> names = config.object().Known();
  names.insert(names.end(), std::begin(kHarmless), std::end(kHarmless));
  return names;
}

}  // namespace

void CheckRemainingKeys(ConfigReader& config, const std::vector<std::string>& ignored_keys) {
  const JsonObject& object = config.object();
  for (const std::string_view key : kHarmless) object.MarkRead(key);
  config.MustBe("chunk_size_feed_forward", 0);
  for (const OnlyValue& only : kOnlyValues) config.MustBe(only.key, only.value);
  for (const NotServed& refused : kNotServed) {
    if (!Listed(ignored_keys, refused.key)) config.MustBeAbsent(refused.key, refused.cure);
  }
  const std::vector<std::string> known = KnownNames(config);
  for (const std::string& key : object.Unread()) {
    if (!object.Has(key) || Listed(ignored_keys, key)) continue;
    std::string text = StrCat("config.json: ", Quote(key), ": unknown key with the value ",
                              Quote(DumpJson(*object.Find(key)), 60));
    if (const auto near = NearestName(key, known)) StrAppend(&text, "; did you mean \"", *near, "\"?");
    config.problems().Add(StrCat(text, ". If it does not change the result, list it in ignore_config_keys"));
  }
}

}  // namespace guildhall
