#include "checkpoint/generation_config.h"

#include <algorithm>
#include <string_view>
#include <utility>

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
    {"encoder_repetition_penalty", 1},
    {"encoder_no_repeat_ngram_size", 0},
    {"min_length", 0},
    {"guidance_scale", 1},
};
constexpr std::string_view kNotHonouredLists[] = {
    "force_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "sequence_bias",
    "exponential_decay_length_penalty",
    "watermarking_config",
    "forced_decoder_ids",
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

absl::Status ReadStopStrings(const JsonObject& object, std::vector<std::string>& strings) {
  const Json* json = object.Find("stop_strings");
  if (json == nullptr) return absl::OkStatus();
  for (const Json& item : json->is_array() ? *json : Json::array({*json})) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) {
      return object.Error("stop_strings",
                          StrCat("expected a text or a list of them, found ", DumpJson(*json)));
    }
    strings.push_back(item.get<std::string>());
  }
  return absl::OkStatus();
}

// Sequences that hold an id of no row can never be made.
absl::Status ReadSequences(const JsonObject& object, std::string_view key, int64_t vocabulary,
                           std::vector<std::vector<int64_t>>& sequences, std::vector<std::string>& notes) {
  const Json* json = object.Find(key);
  if (json == nullptr) return absl::OkStatus();
  const auto wrong = [&] {
    return object.Error(key, StrCat("expected a list of lists of token ids, found ", DumpJson(*json)));
  };
  if (!json->is_array()) return wrong();
  for (const Json& item : *json) {
    if (!item.is_array() || item.empty()) return wrong();
    std::vector<int64_t> sequence;
    for (const Json& id : item) {
      const auto number = WholeNumber(id);
      if (!number || *number < 0) return wrong();
      sequence.push_back(*number);
    }
    if (std::all_of(sequence.begin(), sequence.end(), [&](int64_t id) { return id < vocabulary; })) {
      sequences.push_back(std::move(sequence));
    } else {
      notes.push_back(StrCat(object.Where(key), ": ", DumpJson(item), " is outside the vocabulary of ",
                             vocabulary, " and cannot be generated: ignored"));
    }
  }
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

absl::StatusOr<GenerationConfig> ParseGenerationConfig(const Json& json, int64_t vocabulary,
                                                       const std::vector<std::string>& ignore) {
  if (!ignore.empty() && json.is_object()) {
    Json rest = json;
    for (const std::string& key : ignore) rest.erase(key);
    return ParseGenerationConfig(rest, vocabulary);
  }
  GenerationConfig config;
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(json, "generation_config.json"));
  if (object.Has("do_sample")) {
    GH_ASSIGN_OR_RETURN(config.do_sample, object.Bool("do_sample"));
  }
  GH_RETURN_IF_ERROR(ReadNumber(object, "temperature", true, 1e6, config.temperature));
  GH_RETURN_IF_ERROR(ReadNumber(object, "top_p", true, 1.0, config.top_p));
  GH_RETURN_IF_ERROR(ReadNumber(object, "min_p", true, 1.0, config.min_p));
  GH_RETURN_IF_ERROR(ReadNumber(object, "repetition_penalty", false, 1e6, config.repetition_penalty));
  GH_RETURN_IF_ERROR(ReadInt(object, "top_k", -1, config.top_k));
  GH_RETURN_IF_ERROR(ReadInt(object, "max_new_tokens", 1, config.max_new_tokens));
  GH_RETURN_IF_ERROR(ReadInt(object, "min_new_tokens", 0, config.min_new_tokens));
  GH_RETURN_IF_ERROR(ReadInt(object, "no_repeat_ngram_size", 0, config.no_repeat_ngram_size));
  GH_RETURN_IF_ERROR(ReadStopStrings(object, config.stop_strings));
  GH_RETURN_IF_ERROR(ReadSequences(object, "bad_words_ids", vocabulary, config.bad_words_ids, config.notes));
  Problems problems;
  const auto ids = [&](std::string_view key) {
    return ReadTokenIds(object, key, vocabulary, problems, config.notes);
  };
  if (object.Has("eos_token_id")) config.eos_tokens = ids("eos_token_id");
  const auto bos = ids("bos_token_id");
  if (!bos.empty()) config.bos_token = bos.front();
  const auto suppressed = ids("suppress_tokens");
  config.suppress_tokens.assign(suppressed.begin(), suppressed.end());
  const auto first = ids("begin_suppress_tokens");
  config.begin_suppress_tokens.assign(first.begin(), first.end());
  GH_RETURN_IF_ERROR(problems.ToStatus());
  config.not_honoured = NotHonoured(object);
  return config;
}

std::vector<std::string> GenerationNotes(const GenerationConfig& config) {
  std::vector<std::string> notes;
  for (const std::string& key : config.not_honoured) {
    notes.push_back(StrCat("generation_config.json: ", key, ": not honoured"));
  }
  notes.insert(notes.end(), config.notes.begin(), config.notes.end());
  return notes;
}

}  // namespace guildhall
