// Whatever the bytes of a request: a refusal that names a field, or a request that the inside may trust.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <variant>

#include "base/check.h"
#include "server/validate.h"

namespace guildhall {
namespace {

constexpr int64_t kVocabulary = 2048;

void CheckSampling(const SamplingParams& sampling, const ServedLimits& limits) {
  for (const SamplingField& field : kSamplingFields) GH_CHECK(!RangeProblem(field, sampling));
  GH_CHECK_LE(sampling.max_tokens, limits.max_output_tokens);
  GH_CHECK_LE(sampling.min_tokens, sampling.max_tokens);
  GH_CHECK(sampling.top_logprobs >= 0 && sampling.top_logprobs <= limits.config.top_logprobs);
  GH_CHECK_LE(sampling.logit_bias.size(), static_cast<size_t>(limits.config.logit_bias));
  for (const auto& [token, bias] : sampling.logit_bias) {
    GH_CHECK(token >= 0 && token < kVocabulary);
    GH_CHECK(bias >= -100.0f && bias <= 100.0f);
  }
  for (const int32_t token : sampling.stop_tokens) GH_CHECK(token >= 0 && token < kVocabulary);
}

void CheckInput(const PromptInput& input, const ServedLimits& limits) {
  const auto* tokens = std::get_if<std::vector<int32_t>>(&input);
  if (tokens == nullptr) return;
  GH_CHECK(!tokens->empty());
  GH_CHECK_LE(static_cast<int64_t>(tokens->size()), limits.max_prompt_tokens);
  for (const int32_t token : *tokens) GH_CHECK(token >= 0 && token < kVocabulary);
}

void CheckValidated(const ValidatedRequest& validated, const ServedLimits& limits) {
  CheckSampling(validated.sampling, limits);
  CheckInput(validated.input, limits);
  const Speculation& speculation = validated.speculation;
  GH_CHECK(speculation.max_draft_tokens >= 0 && speculation.max_draft_tokens <= limits.config.draft_tokens);
  GH_CHECK(speculation.min_ngram >= 1 && speculation.min_ngram <= speculation.max_ngram);
  GH_CHECK_LE(speculation.max_ngram, kMaxNgram);
  GH_CHECK_LE(validated.stop.size(), static_cast<size_t>(limits.config.stop_strings));
  for (const std::string& stop : validated.stop) {
    GH_CHECK(!stop.empty() && stop.size() <= static_cast<size_t>(limits.config.stop_bytes));
  }
  GH_CHECK(validated.time_limit > absl::ZeroDuration());
  GH_CHECK(validated.time_limit <= absl::Seconds(limits.config.time_limit_s));
}

}  // namespace
}  // namespace guildhall

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  static const auto task = std::make_shared<const Task>();
  static const ServedLimits limits = MakeServedLimits({}, kVocabulary, /*max_positions=*/1000,
                                                      /*kv_cache_tokens=*/100'000);
  v1::GenerateRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  const auto validated = ValidateGenerate(request, task, limits, /*random_seed=*/1);
  if (validated.ok()) {
    CheckValidated(*validated, limits);
  } else {
    GH_CHECK(validated.status().code() == absl::StatusCode::kInvalidArgument);
  }
  return 0;
}
