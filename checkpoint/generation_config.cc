#include "checkpoint/generation_config.h"

#include <string_view>

#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/hf_config.h"

namespace guildhall {
namespace {

// Keys whose live value changes what transformers generates, beside those that GenerationConfig has; with the
// value that changes nothing.
struct Live {
  std::string_view key;
  double neutral;
};
constexpr Live kNotHonoured[] = {
    {"num_beams", 1},
    {"num_beam_groups", 1},
    {"penalty_alpha", 0},
    {"diversity_penalty", 0},
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"top_h", 0},
    {"length_penalty", 1},
    {"no_repeat_ngram_size", 0},
    {"encoder_repetition_penalty", 1},
    {"encoder_no_repeat_ngram_size", 0},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"guidance_scale", 1},
};
constexpr std::string_view kNotHonouredLists[] = {
    "bad_words_ids",       "force_words_ids",     "suppress_tokens", "begin_suppress_tokens",
    "forced_bos_token_id", "forced_eos_token_id", "sequence_bias",   "exponential_decay_length_penalty",
    "stop_strings",        "watermarking_config",
};

absl::Status ReadNumber(const JsonObject& object, std::string_view key, bool zero_allowed, double max,
                        std::optional<double>& value) {
  if (!object.Has(key)) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(const double number, object.Number(key));
  if (number < 0.0 || (number == 0.0 && !zero_allowed) || number > max) {
    return object.Error(key, StrCat("expected a number ", zero_allowed ? "from 0" : "above 0", " to ", max,
                                    ", found ", number));
  }
  value = number;
  return absl::OkStatus();
}

absl::Status ReadInt(const JsonObject& object, std::string_view key, int64_t min,
                     std::optional<int64_t>& value) {
  if (!object.Has(key)) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(value, object.Int(key, min, int64_t{1} << 30));
  return absl::OkStatus();
}

std::vector<std::string> NotHonoured(const JsonObject& object) {
  std::vector<std::string> keys;
  for (const Live& live : kNotHonoured) {
    const Json* json = object.Find(live.key);
    if (json != nullptr && !(json->is_number() && json->get<double>() == live.neutral))
      keys.emplace_back(live.key);
  }
  for (const std::string_view key : kNotHonouredLists) {
    const Json* json = object.Find(key);
    if (json != nullptr && !json->empty()) keys.emplace_back(key);
  }
  return keys;
}

}  // namespace

absl::StatusOr<GenerationConfig> ParseGenerationConfig(const Json& json, int64_t vocabulary) {
  GenerationConfig config;
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(json, "generation_config.json"));
  if (object.Has("do_sample")) {
    GH_ASSIGN_OR_RETURN(config.do_sample, object.Bool("do_sample"));
  }
  GH_RETURN_IF_ERROR(ReadNumber(object, "temperature", true, 1e6, config.temperature));
  GH_RETURN_IF_ERROR(ReadNumber(object, "top_p", false, 1.0, config.top_p));
  GH_RETURN_IF_ERROR(ReadNumber(object, "min_p", true, 1.0, config.min_p));
  GH_RETURN_IF_ERROR(ReadNumber(object, "repetition_penalty", false, 1e6, config.repetition_penalty));
  GH_RETURN_IF_ERROR(ReadInt(object, "top_k", 0, config.top_k));
  GH_RETURN_IF_ERROR(ReadInt(object, "max_new_tokens", 1, config.max_new_tokens));
  Problems problems;
  std::vector<std::string> notes;
  if (object.Has("eos_token_id")) {
    config.eos_tokens = ReadTokenIds(object, "eos_token_id", vocabulary, problems, notes);
  }
  const auto bos = ReadTokenIds(object, "bos_token_id", vocabulary, problems, notes);
  if (!bos.empty()) config.bos_token = bos.front();
  GH_RETURN_IF_ERROR(problems.ToStatus());
  config.not_honoured = NotHonoured(object);
  return config;
}

}  // namespace guildhall
