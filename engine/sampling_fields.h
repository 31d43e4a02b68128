// The sampling parameters by name. One table says what each is called, where it is kept and which values it
// may have; the keys of the configuration, the fields of a request, the defaults of a task and every check
// walk it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/number_range.h"
#include "engine/sampling_params.h"

namespace guildhall {

// What one level says: the request, the task, generation_config.json, the server's configuration. Unset or
// empty: the next level down decides, below the last one the value that SamplingParams begins with.
struct PartialSampling {
  std::optional<double> temperature = {};
  std::optional<int64_t> top_k = {};
  std::optional<double> top_p = {};
  std::optional<double> min_p = {};
  std::optional<double> repetition_penalty = {};
  std::optional<double> presence_penalty = {};
  std::optional<double> frequency_penalty = {};
  std::optional<int64_t> max_tokens = {};
  std::optional<int64_t> min_tokens = {};
  std::optional<bool> ignore_eos = {};
  std::optional<bool> include_stop = {};
  std::optional<bool> skip_special_tokens = {};
  std::vector<std::string> stop = {};
  std::vector<int64_t> stop_token_ids = {};
  std::vector<int64_t> suppress_tokens = {};
  std::vector<int64_t> begin_suppress_tokens = {};
  std::optional<int64_t> no_repeat_ngram_size = {};
  std::vector<std::vector<int64_t>> bad_words_ids = {};
};

struct SamplingField {
  // `param` is null where the engine does not know it: stop strings are a matter of text.
  template <typename Partial, typename Param>
  struct Member {
    Partial PartialSampling::*partial;
    Param SamplingParams::*param;
  };
  using Number = Member<std::optional<double>, float>;
  using Integer = Member<std::optional<int64_t>, int32_t>;
  using Flag = Member<std::optional<bool>, bool>;
  using Texts = Member<std::vector<std::string>, std::vector<std::string>>;
  using Tokens = Member<std::vector<int64_t>, std::vector<int32_t>>;
  using Sequences = Member<std::vector<std::vector<int64_t>>, std::vector<std::vector<int32_t>>>;

  std::string_view name;  // in configuration and protocol
  std::string_view help;
  std::variant<Number, Integer, Flag, Texts, Tokens, Sequences> member;
  NumberRange range = {};  // of numbers, integers and each token
};

inline constexpr double kMaxToken = std::numeric_limits<int32_t>::max();
// A logit divided by less might leave the range of a float.
inline constexpr double kLeastPenalty = 1e-6;

// At min_p = 1 nothing but ties would be left; that is what temperature 0 says.
inline constexpr SamplingField kSamplingFields[] = {
    {"temperature",
     "0 is greedy",
     SamplingField::Number{&PartialSampling::temperature, &SamplingParams::temperature},
     {0, 100}},
    {"top_k",
     "keep the k most likely tokens; 0 or -1: all",
     SamplingField::Integer{&PartialSampling::top_k, &SamplingParams::top_k},
     {-1, kMaxToken}},
    {"top_p",
     "keep the most likely tokens up to this sum of probabilities; 1: all, 0: the likeliest alone",
     SamplingField::Number{&PartialSampling::top_p, &SamplingParams::top_p},
     {0, 1}},
    {"min_p",
     "drop tokens below this share of the best token's probability; 0: none",
     SamplingField::Number{&PartialSampling::min_p, &SamplingParams::min_p},
     {0, 0.999}},
    {"repetition_penalty",
     "over prompt and output; 1: none",
     SamplingField::Number{&PartialSampling::repetition_penalty, &SamplingParams::repetition_penalty},
     {kLeastPenalty, 100}},
    {"presence_penalty",
     "over the output",
     SamplingField::Number{&PartialSampling::presence_penalty, &SamplingParams::presence_penalty},
     {-2, 2}},
    {"frequency_penalty",
     "over the output",
     SamplingField::Number{&PartialSampling::frequency_penalty, &SamplingParams::frequency_penalty},
     {-2, 2}},
    {"max_tokens",
     "most tokens to generate",
     SamplingField::Integer{&PartialSampling::max_tokens, &SamplingParams::max_tokens},
     {0, kMaxToken}},
    {"min_tokens",
     "no end before so many tokens",
     SamplingField::Integer{&PartialSampling::min_tokens, &SamplingParams::min_tokens},
     {0, kMaxToken}},
    {"ignore_eos", "go on past the model's end tokens",
     SamplingField::Flag{&PartialSampling::ignore_eos, &SamplingParams::ignore_eos}},
    {"include_stop", "send the stop string that matched",
     SamplingField::Flag{&PartialSampling::include_stop, nullptr}},
    {"skip_special_tokens", "leave special tokens out of the text",
     SamplingField::Flag{&PartialSampling::skip_special_tokens, nullptr}},
    {"stop", "stop strings, where a request gives none",
     SamplingField::Texts{&PartialSampling::stop, nullptr}},
    {"stop_token_ids",
     "stop tokens, where a request gives none",
     SamplingField::Tokens{&PartialSampling::stop_token_ids, &SamplingParams::stop_tokens},
     {0, kMaxToken}},
    {"suppress_tokens",
     "tokens that are never chosen",
     SamplingField::Tokens{&PartialSampling::suppress_tokens, &SamplingParams::suppress_tokens},
     {0, kMaxToken}},
    {"begin_suppress_tokens",
     "tokens that are not chosen first",
     SamplingField::Tokens{&PartialSampling::begin_suppress_tokens, &SamplingParams::begin_suppress_tokens},
     {0, kMaxToken}},
    {"no_repeat_ngram_size",
     "no sequence of so many tokens occurs twice in prompt and output; 0: off",
     SamplingField::Integer{&PartialSampling::no_repeat_ngram_size, &SamplingParams::no_repeat_ngram_size},
     {0, kMaxNoRepeatNgram}},
    {"bad_words_ids",
     "sequences of tokens that do not occur in the output",
     SamplingField::Sequences{&PartialSampling::bad_words_ids, &SamplingParams::bad_words},
     {0, kMaxToken}},
};

// Values of `over` where set, else of `under`.
PartialSampling Merge(const PartialSampling& over, const PartialSampling& under);

// What is set, over what `params` has.
void Resolve(const PartialSampling& partial, SamplingParams& params);

// What SamplingParams begins with, every field set but the lists.
PartialSampling BuiltInSampling();

// "expected a number above 0 to 1, found 2"; nothing where the value is in its range, or unset.
std::optional<std::string> RangeProblem(const SamplingField& field, const PartialSampling& partial);
std::optional<std::string> RangeProblem(const SamplingField& field, const SamplingParams& params);

}  // namespace guildhall
