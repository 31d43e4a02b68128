#include "runtime/generation_defaults.h"

#include <algorithm>
#include <vector>

#include "base/str_cat.h"

namespace guildhall {
namespace {

bool SpeaksOfSampling(const GenerationConfig& config) {
  return config.do_sample || config.temperature || config.top_k || config.top_p || config.min_p;
}

}  // namespace

absl::StatusOr<PartialSampling> GenerationDefaults(const GenerationConfig& config) {
  PartialSampling defaults{.temperature = config.temperature,
                           .top_k = config.top_k,
                           .top_p = config.top_p,
                           .min_p = config.min_p,
                           .repetition_penalty = config.repetition_penalty,
                           .max_tokens = config.max_new_tokens,
                           .min_tokens = config.min_new_tokens,
                           .stop = config.stop_strings,
                           .suppress_tokens = config.suppress_tokens,
                           .begin_suppress_tokens = config.begin_suppress_tokens,
                           .no_repeat_ngram_size = config.no_repeat_ngram_size,
                           .bad_words_ids = config.bad_words_ids};
  // As in transformers, an end token is no bad word.
  std::erase_if(defaults.bad_words_ids, [&](const std::vector<int64_t>& word) {
    const auto& ends = config.eos_tokens.value_or(std::vector<int32_t>());
    return word.size() == 1 && std::find(ends.begin(), ends.end(), word.front()) != ends.end();
  });
  if (SpeaksOfSampling(config) && !config.do_sample.value_or(false)) defaults.temperature = 0.0;
  for (const SamplingField& field : kSamplingFields) {
    const auto problem = RangeProblem(field, defaults);
    if (!problem) continue;
    const std::string_view key = field.name == "max_tokens"   ? "max_new_tokens"
                                 : field.name == "min_tokens" ? "min_new_tokens"
                                                              : field.name;
    return absl::InvalidArgumentError(StrCat("generation_config.json: ", key, ": ", *problem));
  }
  return defaults;
}

}  // namespace guildhall
