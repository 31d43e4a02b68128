#include "server/validate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

constexpr size_t kMaxSaltBytes = 256;
constexpr double kMaxMinP = 0.999;  // at 1 nothing but ties would be left; that is what temperature 0 says

// Collects a value from the request or the defaults, and its range check, in one line each.
absl::Status TakeNumber(const char* field, bool given, float value, const std::optional<double>& fallback,
                        double min, double max, bool above_min, float& out) {
  if (!given) {
    if (fallback) out = static_cast<float>(*fallback);
    return absl::OkStatus();
  }
  const float low = static_cast<float>(min), high = static_cast<float>(max);
  if (!std::isfinite(value) || (above_min ? value <= low : value < low) || value > high) {
    return FieldError(field, StrCat("expected a number ", above_min ? "above " : "from ", min, " to ", max,
                                    ", found ", value));
  }
  out = value;
  return absl::OkStatus();
}

absl::Status TakeInteger(const char* field, bool given, int64_t value, const std::optional<int64_t>& fallback,
                         int64_t max, int32_t& out) {
  if (!given) {
    if (fallback) out = static_cast<int32_t>(std::min(*fallback, max));
    return absl::OkStatus();
  }
  if (value < 0 || value > max)
    return FieldError(field, StrCat("expected an integer from 0 to ", max, ", found ", value));
  out = static_cast<int32_t>(value);
  return absl::OkStatus();
}

absl::Status TakeDistribution(const v1::SamplingOptions& options, const SamplingDefaults& defaults,
                              SamplingParams& out) {
  const int64_t int_max = std::numeric_limits<int32_t>::max();
  GH_RETURN_IF_ERROR(TakeNumber("sampling.temperature", options.has_temperature(), options.temperature(),
                                defaults.temperature, 0, 100, false, out.temperature));
  GH_RETURN_IF_ERROR(TakeInteger("sampling.top_k", options.has_top_k(), options.top_k(), defaults.top_k,
                                 int_max, out.top_k));
  GH_RETURN_IF_ERROR(TakeNumber("sampling.top_p", options.has_top_p(), options.top_p(), defaults.top_p, 0, 1,
                                true, out.top_p));
  GH_RETURN_IF_ERROR(TakeNumber("sampling.min_p", options.has_min_p(), options.min_p(), defaults.min_p, 0,
                                kMaxMinP, false, out.min_p));
  GH_RETURN_IF_ERROR(TakeNumber("sampling.repetition_penalty", options.has_repetition_penalty(),
                                options.repetition_penalty(), defaults.repetition_penalty, 0, 100, true,
                                out.repetition_penalty));
  GH_RETURN_IF_ERROR(TakeNumber("sampling.presence_penalty", options.has_presence_penalty(),
                                options.presence_penalty(), defaults.presence_penalty, -2, 2, false,
                                out.presence_penalty));
  return TakeNumber("sampling.frequency_penalty", options.has_frequency_penalty(),
                    options.frequency_penalty(), defaults.frequency_penalty, -2, 2, false,
                    out.frequency_penalty);
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

absl::Status TakeStops(const v1::SamplingOptions& options, const SamplingDefaults& defaults,
                       const ServedLimits& limits, ValidatedRequest& out) {
  const LimitsConfig& caps = limits.config;
  if (options.stop_size() > caps.stop_strings) {
    return FieldError("sampling.stop",
                      StrCat("expected at most ", caps.stop_strings, ", found ", options.stop_size()));
  }
  for (int i = 0; i < options.stop_size(); ++i) {
    const std::string& stop = options.stop(i);
    if (stop.empty() || static_cast<int64_t>(stop.size()) > caps.stop_bytes) {
      return FieldError(StrCat("sampling.stop[", i, "]"),
                        StrCat("expected 1 to ", caps.stop_bytes, " bytes, found ", stop.size()));
    }
    out.stop.push_back(stop);
  }
  if (options.stop_size() == 0) out.stop = defaults.stop;
  if (options.stop_token_ids_size() > caps.stop_token_ids) {
    return FieldError("sampling.stop_token_ids", StrCat("expected at most ", caps.stop_token_ids, ", found ",
                                                        options.stop_token_ids_size()));
  }
  for (int i = 0; i < options.stop_token_ids_size(); ++i) {
    const int32_t token = options.stop_token_ids(i);
    if (token < 0 || token >= limits.vocabulary) {
      return FieldError(StrCat("sampling.stop_token_ids[", i, "]"),
                        StrCat("expected a token id from 0 to ", limits.vocabulary - 1, ", found ", token));
    }
    out.sampling.stop_tokens.push_back(token);
  }
  if (options.stop_token_ids_size() == 0) {
    for (const int64_t token : defaults.stop_token_ids) {
      if (token < limits.vocabulary) out.sampling.stop_tokens.push_back(static_cast<int32_t>(token));
    }
  }
  out.include_stop =
      options.has_include_stop() ? options.include_stop() : defaults.include_stop.value_or(false);
  return absl::OkStatus();
}

absl::Status TakeLengths(const v1::SamplingOptions& options, const SamplingDefaults& defaults,
                         const ServedLimits& limits, ValidatedRequest& out) {
  SamplingParams& sampling = out.sampling;
  sampling.max_tokens =
      static_cast<int32_t>(std::min<int64_t>(sampling.max_tokens, limits.max_output_tokens));
  GH_RETURN_IF_ERROR(TakeInteger("sampling.max_tokens", options.has_max_tokens(), options.max_tokens(),
                                 defaults.max_tokens, limits.max_output_tokens, sampling.max_tokens));
  out.max_tokens_given = options.has_max_tokens();
  GH_RETURN_IF_ERROR(TakeInteger("sampling.min_tokens", options.has_min_tokens(), options.min_tokens(),
                                 defaults.min_tokens, limits.max_output_tokens, sampling.min_tokens));
  if (sampling.min_tokens > sampling.max_tokens) {
    if (options.has_min_tokens()) {
      return FieldError("sampling.min_tokens", StrCat("expected at most max_tokens (", sampling.max_tokens,
                                                      "), found ", sampling.min_tokens));
    }
    sampling.min_tokens = sampling.max_tokens;
  }
  return absl::OkStatus();
}

absl::Status TakeLogprobs(const v1::LogprobOptions& options, const ServedLimits& limits,
                          SamplingParams& out) {
  GH_RETURN_IF_ERROR(TakeInteger(
      "logprobs.top", true, options.top(), std::nullopt,
      std::min<int64_t>({limits.config.top_logprobs, kMaxTopLogprobs, limits.vocabulary}), out.top_logprobs));
  out.logprobs = options.chosen() || out.top_logprobs > 0;
  out.prompt_logprobs = options.prompt();
  return absl::OkStatus();
}

absl::Status TakeSpeculation(const v1::SpeculationOptions& options, const ServedLimits& limits,
                             Speculation& out) {
  const int64_t most = std::min<int64_t>(limits.config.draft_tokens, kMaxDraftTokens);
  // A default gives way to the limit.
  out.max_draft_tokens = static_cast<int32_t>(std::min<int64_t>(out.max_draft_tokens, most));
  GH_RETURN_IF_ERROR(TakeInteger("speculation.max_draft_tokens", options.has_max_draft_tokens(),
                                 options.max_draft_tokens(), std::nullopt, most, out.max_draft_tokens));
  GH_RETURN_IF_ERROR(TakeInteger("speculation.min_ngram", options.has_min_ngram(), options.min_ngram(),
                                 std::nullopt, kMaxNgram, out.min_ngram));
  GH_RETURN_IF_ERROR(TakeInteger("speculation.max_ngram", options.has_max_ngram(), options.max_ngram(),
                                 std::nullopt, kMaxNgram, out.max_ngram));
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

absl::StatusOr<ValidatedRequest> ValidateGenerate(const v1::GenerateRequest& request,
                                                  std::shared_ptr<const Task> task,
                                                  const ServedLimits& limits, uint64_t random_seed) {
  ValidatedRequest out;
  const SamplingDefaults& defaults = task->defaults;
  const v1::SamplingOptions& options = request.sampling();
  GH_RETURN_IF_ERROR(TakeDistribution(options, defaults, out.sampling));
  GH_RETURN_IF_ERROR(TakeLogitBias(options, limits, out.sampling));
  GH_RETURN_IF_ERROR(TakeLengths(options, defaults, limits, out));
  GH_RETURN_IF_ERROR(TakeStops(options, defaults, limits, out));
  GH_RETURN_IF_ERROR(TakeLogprobs(request.logprobs(), limits, out.sampling));
  out.sampling.ignore_eos =
      options.has_ignore_eos() ? options.ignore_eos() : defaults.ignore_eos.value_or(false);
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
  out.task = std::move(task);
  return out;
}

}  // namespace guildhall
