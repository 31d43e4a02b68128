#include "server/validate.h"

#include <algorithm>

#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/sampling_messages.h"
#include "server/task_text.h"

namespace guildhall {
namespace {

constexpr size_t kMaxSaltBytes = 256;

absl::Status TakeInteger(const char* field, int64_t value, int64_t max, int32_t& out) {
  if (value < 0 || value > max) {
    return FieldError(field, StrCat("expected an integer from 0 to ", max, ", found ", value));
  }
  out = static_cast<int32_t>(value);
  return absl::OkStatus();
}

absl::Status TakeLogitBias(const v1::SamplingOptions& options, const ServedLimits& limits,
                           SamplingParams& out) {
  const auto& entries = options.logit_bias();
  if (static_cast<int64_t>(entries.size()) > limits.config.logit_bias) {
    return FieldError("sampling.logit_bias", StrCat("expected at most ", limits.config.logit_bias,
                                                    " entries, found ", entries.size()));
  }
  for (const auto& [token, bias] : entries) {
    const std::string field = StrCat("sampling.logit_bias[", token, "]");
    if (token < 0 || token >= limits.vocabulary) {
      return FieldError(field,
                        StrCat("expected a token id from 0 to ", limits.vocabulary - 1, ", found ", token));
    }
    if (!(bias >= -100.0f && bias <= 100.0f))
      return FieldError(field, StrCat("expected -100 to 100, found ", bias));
    out.logit_bias.emplace_back(token, bias);
  }
  // The map has no order; the same request must give the same sums.
  std::sort(out.logit_bias.begin(), out.logit_bias.end());
  return absl::OkStatus();
}

absl::Status CheckStops(const PartialSampling& asked, const ServedLimits& limits) {
  const LimitsConfig& caps = limits.config;
  if (static_cast<int64_t>(asked.stop.size()) > caps.stop_strings) {
    return FieldError("sampling.stop",
                      StrCat("expected at most ", caps.stop_strings, ", found ", asked.stop.size()));
  }
  for (size_t i = 0; i < asked.stop.size(); ++i) {
    const size_t bytes = asked.stop[i].size();
    if (bytes > 0 && static_cast<int64_t>(bytes) <= caps.stop_bytes) continue;
    return FieldError(StrCat("sampling.stop[", i, "]"),
                      StrCat("expected 1 to ", caps.stop_bytes, " bytes, found ", bytes));
  }
  return absl::OkStatus();
}

using Ids = google::protobuf::RepeatedField<int32_t>;

absl::Status CheckTokens(const std::string& field, const Ids& ids, int64_t most, const ServedLimits& limits) {
  if (ids.size() > most) {
    return FieldError(field, StrCat("expected at most ", most, ", found ", ids.size()));
  }
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < limits.vocabulary) continue;
    return FieldError(StrCat(field, "[", i, "]"),
                      StrCat("expected a token id from 0 to ", limits.vocabulary - 1, ", found ", ids[i]));
  }
  return absl::OkStatus();
}

// Each list has the limit of logit_bias.
absl::Status CheckTokenLists(const v1::SamplingOptions& options, const ServedLimits& limits) {
  const int64_t most = limits.config.logit_bias;
  GH_RETURN_IF_ERROR(
      CheckTokens("sampling.stop_token_ids", options.stop_token_ids(), limits.config.stop_token_ids, limits));
  GH_RETURN_IF_ERROR(CheckTokens("sampling.suppress_tokens", options.suppress_tokens(), most, limits));
  GH_RETURN_IF_ERROR(
      CheckTokens("sampling.begin_suppress_tokens", options.begin_suppress_tokens(), most, limits));
  int64_t room = most;
  for (int i = 0; i < options.bad_words_ids_size(); ++i) {
    const std::string field = StrCat("sampling.bad_words_ids[", i, "].ids");
    const Ids& ids = options.bad_words_ids(i).ids();
    if (ids.empty()) return FieldError(field, "expected a token id or more, found none");
    GH_RETURN_IF_ERROR(CheckTokens(field, ids, room, limits));
    room -= ids.size();
  }
  return absl::OkStatus();
}

// Only a default can lie outside of the vocabulary.
void DropUnknownTokens(int64_t vocabulary, SamplingParams& sampling) {
  const auto unknown = [&](int32_t token) { return token >= vocabulary; };
  for (auto* tokens : {&sampling.stop_tokens, &sampling.suppress_tokens, &sampling.begin_suppress_tokens}) {
    std::erase_if(*tokens, unknown);
  }
  std::erase_if(sampling.bad_words, [&](const std::vector<int32_t>& word) {
    return word.empty() || std::any_of(word.begin(), word.end(), unknown);
  });
}

// What the request asks for is refused where it cannot be; a default gives way.
absl::Status FitLengths(const PartialSampling& asked, const ServedLimits& limits, SamplingParams& sampling) {
  const int64_t most = limits.max_output_tokens;
  const auto fit = [&](const char* field, const std::optional<int64_t>& value, int32_t& out) -> absl::Status {
    if (value) return TakeInteger(field, *value, most, out);
    out = static_cast<int32_t>(std::min<int64_t>(out, most));
    return absl::OkStatus();
  };
  GH_RETURN_IF_ERROR(fit("sampling.max_tokens", asked.max_tokens, sampling.max_tokens));
  GH_RETURN_IF_ERROR(fit("sampling.min_tokens", asked.min_tokens, sampling.min_tokens));
  if (sampling.min_tokens <= sampling.max_tokens) return absl::OkStatus();
  if (asked.min_tokens) {
    return FieldError("sampling.min_tokens", StrCat("expected at most max_tokens (", sampling.max_tokens,
                                                    "), found ", sampling.min_tokens));
  }
  sampling.min_tokens = sampling.max_tokens;
  return absl::OkStatus();
}

absl::Status TakeSampling(const v1::SamplingOptions& options, const PartialSampling& defaults,
                          const ServedLimits& limits, ValidatedRequest& out) {
  GH_RETURN_IF_ERROR(CheckTokenLists(options, limits));
  GH_ASSIGN_OR_RETURN(const PartialSampling asked, ReadSampling(options, "sampling"));
  GH_RETURN_IF_ERROR(CheckStops(asked, limits));
  const PartialSampling merged = Merge(asked, defaults);
  Resolve(merged, out.sampling);
  GH_RETURN_IF_ERROR(FitLengths(asked, limits, out.sampling));
  DropUnknownTokens(limits.vocabulary, out.sampling);
  out.max_tokens_given = asked.max_tokens.has_value();
  out.max_tokens_said = merged.max_tokens.has_value();
  out.stop = merged.stop;
  out.include_stop = merged.include_stop.value_or(false);
  out.skip_special_tokens = merged.skip_special_tokens.value_or(true);
  return TakeLogitBias(options, limits, out.sampling);
}

absl::Status TakeLogprobs(const v1::LogprobOptions& options, const ServedLimits& limits,
                          SamplingParams& out) {
  const int64_t most = std::min<int64_t>({limits.config.top_logprobs, kMaxTopLogprobs, limits.vocabulary});
  GH_RETURN_IF_ERROR(TakeInteger("logprobs.top", options.top(), most, out.top_logprobs));
  out.logprobs = options.chosen() || out.top_logprobs > 0;
  out.prompt_logprobs = options.prompt();
  return absl::OkStatus();
}

absl::Status TakeSpeculation(const v1::SpeculationOptions& options, const ServedLimits& limits,
                             Speculation& out) {
  const int64_t most = std::min<int64_t>(limits.config.draft_tokens, kMaxDraftTokens);
  // A default gives way to the limit.
  out.max_draft_tokens = static_cast<int32_t>(std::min<int64_t>(out.max_draft_tokens, most));
  if (options.has_max_draft_tokens()) {
    GH_RETURN_IF_ERROR(
        TakeInteger("speculation.max_draft_tokens", options.max_draft_tokens(), most, out.max_draft_tokens));
  }
  if (options.has_min_ngram()) {
    GH_RETURN_IF_ERROR(TakeInteger("speculation.min_ngram", options.min_ngram(), kMaxNgram, out.min_ngram));
  }
  if (options.has_max_ngram()) {
    GH_RETURN_IF_ERROR(TakeInteger("speculation.max_ngram", options.max_ngram(), kMaxNgram, out.max_ngram));
  }
  if (out.min_ngram >= 1 && out.min_ngram <= out.max_ngram) return absl::OkStatus();
  return FieldError(options.has_min_ngram() ? "speculation.min_ngram" : "speculation.max_ngram",
                    StrCat("expected 1 <= min_ngram <= max_ngram, found ", out.min_ngram, " and ",
                           out.max_ngram, ", the task's defaults included"));
}

absl::StatusOr<absl::Duration> TakeTimeLimit(const v1::GenerateRequest& request, const ServedLimits& limits) {
  const absl::Duration cap = absl::Seconds(limits.config.time_limit_s);
  if (!request.has_time_limit()) return cap;
  const auto& limit = request.time_limit();
  const bool valid = limit.seconds() >= 0 && limit.nanos() >= 0 && limit.nanos() < 1'000'000'000;
  const absl::Duration value = absl::Seconds(limit.seconds()) + absl::Nanoseconds(limit.nanos());
  if (!valid || value <= absl::ZeroDuration() || value > cap) {
    return FieldError("time_limit",
                      StrCat("expected a duration above 0 s and of at most ", limits.config.time_limit_s,
                             " s, found ", limit.seconds(), " s ", limit.nanos(), " ns"));
  }
  return value;
}

void TakeEnds(const AdapterText* adapter, SamplingParams& sampling) {
  if (adapter == nullptr || sampling.ignore_eos) return;
  std::vector<int32_t>& tokens = sampling.stop_tokens;
  tokens.insert(tokens.end(), adapter->end_tokens.begin(), adapter->end_tokens.end());
}

}  // namespace

ServedLimits MakeServedLimits(const LimitsConfig& config, int64_t vocabulary, int64_t max_positions,
                              int64_t kv_cache_tokens) {
  ServedLimits limits;
  limits.config = config;
  limits.vocabulary = vocabulary;
  limits.context_tokens = std::min(max_positions, kv_cache_tokens);
  const auto resolve = [&](int64_t cap) {
    return cap == 0 ? limits.context_tokens : std::min(cap, limits.context_tokens);
  };
  limits.max_prompt_tokens = resolve(config.prompt_tokens);
  limits.max_output_tokens = resolve(config.max_tokens);
  return limits;
}

void TakeSpecialStops(const Tokenizer& tokenizer, int64_t vocabulary, ValidatedRequest& request) {
  std::vector<int32_t>& tokens = request.sampling.stop_tokens;
  for (const std::string& stop : request.stop) {
    const std::optional<int32_t> id = tokenizer.TokenId(stop);
    if (!id || *id >= vocabulary || !tokenizer.IsSpecial(*id)) continue;
    request.special_stops.emplace(*id, stop);
    if (std::find(tokens.begin(), tokens.end(), *id) == tokens.end()) tokens.push_back(*id);
  }
}

absl::StatusOr<ValidatedRequest> ValidateGenerate(const v1::GenerateRequest& request,
                                                  std::shared_ptr<const Task> task,
                                                  const ServedLimits& limits, uint64_t random_seed,
                                                  const AdapterText* adapter) {
  ValidatedRequest out;
  const v1::SamplingOptions& options = request.sampling();
  GH_RETURN_IF_ERROR(TakeSampling(options, ServingDefaults(*task, adapter), limits, out));
  GH_RETURN_IF_ERROR(TakeLogprobs(request.logprobs(), limits, out.sampling));
  out.sampling.seed = options.has_seed() ? options.seed() : random_seed;
  out.speculation = task->speculation;
  GH_RETURN_IF_ERROR(TakeSpeculation(request.speculation(), limits, out.speculation));
  GH_ASSIGN_OR_RETURN(out.time_limit, TakeTimeLimit(request, limits));
  if (request.cache_salt().size() > kMaxSaltBytes) {
    return FieldError("cache_salt", StrCat("expected at most ", kMaxSaltBytes, " bytes, found ",
                                           request.cache_salt().size()));
  }
  out.cache_salt = request.cache_salt();
  GH_ASSIGN_OR_RETURN(out.input, ValidateInput(request, limits));
  TakeEnds(adapter, out.sampling);
  out.task = std::move(task);
  return out;
}

}  // namespace guildhall
