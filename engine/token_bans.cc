#include "engine/token_bans.h"

#include <limits>

namespace guildhall {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Prompt and output as one text.
class Text {
 public:
  Text(std::span<const int32_t> prompt, std::span<const int32_t> output) : prompt_(prompt), output_(output) {}

  size_t size() const { return prompt_.size() + output_.size(); }
  int32_t operator[](size_t at) const {
    return at < prompt_.size() ? prompt_[at] : output_[at - prompt_.size()];
  }
  bool EndsWith(std::span<const int32_t> tokens) const {
    if (tokens.size() > size()) return false;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if ((*this)[size() - tokens.size() + i] != tokens[i]) return false;
    }
    return true;
  }

 private:
  std::span<const int32_t> prompt_, output_;
};

void Ban(std::span<const int32_t> tokens, std::span<float> logits) {
  for (const int32_t token : tokens) logits[static_cast<size_t>(token)] = kMinusInfinity;
}

}  // namespace

TokenBans::TokenBans() {
  borders_.reserve(kMaxNoRepeatNgram);
}

bool TokenBans::Any(const SamplingParams& params) {
  return !params.suppress_tokens.empty() || !params.begin_suppress_tokens.empty() ||
         !params.bad_words.empty() || params.no_repeat_ngram_size > 0;
}

void TokenBans::Apply(const SamplingParams& params, std::span<const int32_t> prompt,
                      std::span<const int32_t> output, std::span<float> logits) {
  Ban(params.suppress_tokens, logits);
  if (output.empty()) Ban(params.begin_suppress_tokens, logits);
  const Text text(prompt, output);
  for (const std::vector<int32_t>& word : params.bad_words) {
    const std::span<const int32_t> tokens(word);
    if (text.EndsWith(tokens.first(tokens.size() - 1))) Ban(tokens.last(1), logits);
  }
  if (params.no_repeat_ngram_size > 0) {
    BanRepeats(static_cast<size_t>(params.no_repeat_ngram_size), prompt, output, logits);
  }
}

// What followed wherever the last size - 1 tokens occurred before, found in one pass (Knuth, Morris, Pratt):
// a text that repeats itself costs no more than any other.
void TokenBans::BanRepeats(size_t size, std::span<const int32_t> prompt, std::span<const int32_t> output,
                           std::span<float> logits) {
  const Text text(prompt, output);
  const size_t length = text.size(), wanted = size - 1;
  if (length < size) return;
  const auto pattern = [&](size_t at) { return text[length - wanted + at]; };
  borders_.clear();
  const auto advance = [&](size_t matched, int32_t token) {
    while (matched > 0 && (matched == wanted || pattern(matched) != token)) {
      matched = static_cast<size_t>(borders_[matched - 1]);
    }
    return matched < wanted && pattern(matched) == token ? matched + 1 : matched;
  };
  for (size_t i = 0; i < wanted; ++i) {
    size_t border = 0;
    if (i > 0) {
      border = static_cast<size_t>(borders_[i - 1]);
      while (border > 0 && pattern(border) != pattern(i)) border = static_cast<size_t>(borders_[border - 1]);
      if (pattern(border) == pattern(i)) ++border;
    }
    borders_.push_back(static_cast<int32_t>(border));
  }
  size_t matched = 0;
  for (size_t i = 0; i < length; ++i) {
    if (matched == wanted) logits[static_cast<size_t>(text[i])] = kMinusInfinity;
    if (wanted > 0) matched = advance(matched, text[i]);
  }
}

}  // namespace guildhall
