// generation_config.json: where a model's texts end, and how its authors sample.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace guildhall {

// Absent keys are nullopt, or empty. transformers samples greedily
// unless do_sample is true, whatever the other keys say.
struct GenerationConfig {
  std::optional<bool> do_sample;
  std::optional<double> temperature;            // >= 0
  std::optional<int64_t> top_k;                 // >= -1; -1, 0: off
  std::optional<double> top_p;                  // [0, 1]; 0: the likeliest token alone
  std::optional<double> min_p;                  // [0, 1]
  std::optional<double> repetition_penalty;     // > 0
  std::optional<int64_t> max_new_tokens;        // >= 1
  std::optional<int64_t> min_new_tokens;        // >= 0
  std::optional<int64_t> no_repeat_ngram_size;  // >= 0; 0: off
  std::vector<int64_t> suppress_tokens;
  std::vector<int64_t> begin_suppress_tokens;
  std::vector<std::vector<int64_t>> bad_words_ids;
  std::vector<std::string> stop_strings;
  std::optional<std::vector<int32_t>> eos_tokens;
  std::optional<int32_t> bos_token;
  // Keys with a value that would change what transformers
  // generates and that we do not honour; for inspection and logs.
  std::vector<std::string> not_honoured;
  // Token ids of no row of the model, which are left out.
  std::vector<std::string> notes;
};

// INVALID_ARGUMENT for a value of the wrong type or out of range. The keys of `ignore` count as absent.
absl::StatusOr<GenerationConfig> ParseGenerationConfig(const Json& json, int64_t vocabulary,
                                                       const std::vector<std::string>& ignore = {});

// What a person should know of it: a line for each key that is not honoured, and the notes.
std::vector<std::string> GenerationNotes(const GenerationConfig& config);

}  // namespace guildhall
