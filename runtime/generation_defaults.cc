#include "runtime/generation_defaults.h"

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
                           .max_tokens = config.max_new_tokens};
  if (SpeaksOfSampling(config) && !config.do_sample.value_or(false)) defaults.temperature = 0.0;
  for (const SamplingField& field : kSamplingFields) {
    const auto problem = RangeProblem(field, defaults);
    if (!problem) continue;
    const std::string_view key = field.name == "max_tokens" ? "max_new_tokens" : field.name;
    return absl::InvalidArgumentError(StrCat("generation_config.json: ", key, ": ", *problem));
  }
  return defaults;
}

}  // namespace guildhall
