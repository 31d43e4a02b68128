#include "engine/check_request.h"

#include <cmath>
#include <span>

#include "base/status.h"
#include "base/str_cat.h"
#include "engine/sampling_fields.h"
#include "engine/token_stream.h"

namespace guildhall {
namespace {

absl::Status CheckTokens(std::span<const int32_t> tokens, std::string_view what, int64_t vocabulary) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocabulary) continue;
    return absl::InvalidArgumentError(StrCat(what, "[", i, "] is ", tokens[i],
                                             "; expected a token id in [0, ", vocabulary,
                                             "), the model's vocabulary"));
  }
  return absl::OkStatus();
}

absl::Status OutOfRange(std::string_view name, double value, std::string_view expected) {
  return absl::InvalidArgumentError(StrCat(name, " is ", value, "; expected ", expected));
}

absl::Status CheckSampling(const SamplingParams& params, int64_t vocabulary) {
  for (const SamplingField& field : kSamplingFields) {
    if (const auto problem = RangeProblem(field, params)) {
      return absl::InvalidArgumentError(StrCat(field.name, ": ", *problem));
    }
  }
  for (const auto& [token, bias] : params.logit_bias) {
    GH_RETURN_IF_ERROR(CheckTokens(std::span(&token, 1), "logit_bias", vocabulary));
    if (std::isnan(bias) || (std::isinf(bias) && bias > 0.0f)) {
      return OutOfRange(StrCat("logit_bias of token ", token), bias,
                        "a finite number, or -infinity to exclude it");
    }
  }
  if (params.min_tokens > params.max_tokens) {
    return OutOfRange("min_tokens", params.min_tokens, StrCat("0 to max_tokens (", params.max_tokens, ")"));
  }
  if (params.top_logprobs < 0 || params.top_logprobs > kMaxTopLogprobs) {
    return OutOfRange("top_logprobs", params.top_logprobs, StrCat("0 to ", kMaxTopLogprobs));
  }
  GH_RETURN_IF_ERROR(CheckTokens(params.suppress_tokens, "suppress_tokens", vocabulary));
  GH_RETURN_IF_ERROR(CheckTokens(params.begin_suppress_tokens, "begin_suppress_tokens", vocabulary));
  for (const std::vector<int32_t>& word : params.bad_words) {
    if (word.empty()) return absl::InvalidArgumentError("bad_words has an empty sequence; expected tokens");
    GH_RETURN_IF_ERROR(CheckTokens(word, "bad_words", vocabulary));
  }
  return CheckTokens(params.stop_tokens, "stop_tokens", vocabulary);
}

absl::Status CheckSpeculation(const Speculation& speculation) {
  if (speculation.max_draft_tokens < 0 || speculation.max_draft_tokens > kMaxDraftTokens) {
    return OutOfRange("max_draft_tokens", speculation.max_draft_tokens, StrCat("0 to ", kMaxDraftTokens));
  }
  if (speculation.min_ngram < 1 || speculation.min_ngram > speculation.max_ngram) {
    return OutOfRange("min_ngram", speculation.min_ngram,
                      StrCat("1 to max_ngram (", speculation.max_ngram, ")"));
  }
  if (speculation.max_ngram > kMaxNgram) {
    return OutOfRange("max_ngram", speculation.max_ngram, StrCat("at most ", kMaxNgram));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const Request& request, const RequestLimits& limits) {
  if (request.stream == nullptr) return absl::InvalidArgumentError("the request has no stream to answer on");
  if (request.cache_salt.size() > kMaxCacheSalt) {
    return absl::InvalidArgumentError(
        StrCat("cache_salt has ", request.cache_salt.size(), " bytes; expected at most ", kMaxCacheSalt));
  }
  if (request.prompt.empty()) {
    return absl::InvalidArgumentError("the prompt is empty; expected at least one token");
  }
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t max_tokens = request.sampling.max_tokens;
  if (prompt + max_tokens > limits.max_positions) {
    return absl::OutOfRangeError(StrCat("prompt (", prompt, " tokens) + max_tokens (", max_tokens,
                                        ") = ", prompt + max_tokens, " tokens, but the model's context is ",
                                        limits.max_positions, "; shorten the prompt or lower max_tokens"));
  }
  GH_RETURN_IF_ERROR(CheckSampling(request.sampling, limits.vocabulary));
  GH_RETURN_IF_ERROR(CheckSpeculation(request.speculation));
  // The last output is never computed upon: it needs no place.
  const int64_t places = prompt + (max_tokens > 0 ? max_tokens - 1 : 0);
  if (places > limits.kv_tokens) {
    return absl::OutOfRangeError(
        StrCat("prompt (", prompt, " tokens) + max_tokens (", max_tokens, ") need ", places,
               " places in the KV cache, which has ", limits.kv_tokens,
               "; shorten the prompt, lower max_tokens, or give the server's KV cache more memory"));
  }
  return CheckTokens(request.prompt, "prompt", limits.vocabulary);
}

}  // namespace guildhall
