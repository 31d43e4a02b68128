#include "engine/speculation.h"

#include <algorithm>

#include "base/check.h"

namespace guildhall {

// One pass from the end: most places differ from the last token already.
int64_t FindNgram(std::span<const int32_t> tokens, int32_t min_ngram, int32_t max_ngram, int64_t* compared) {
  const auto size = static_cast<int64_t>(tokens.size());
  const int32_t* const text = tokens.data();
  int64_t best = 0;
  int64_t longest = min_ngram - 1;
  int64_t left = kMostCompared;
  const int64_t last = std::max<int64_t>(0, size - 1 - kSearchedTokens);
  int64_t end = size - 1;
  for (; end > std::max(last, longest) && left > 0; --end) {
    if (text[end - 1] != text[size - 1]) continue;
    const int64_t most = std::min<int64_t>(max_ngram, end);
    int64_t equal = 1;
    while (equal < most && text[end - 1 - equal] == text[size - 1 - equal]) ++equal;
    left -= equal - 1;
    if (equal <= longest) continue;
    best = end;
    longest = equal;
    if (longest == max_ngram) break;
  }
  if (compared != nullptr) *compared = size - end + kMostCompared - left;
  return best;
}

Drafter::Drafter(const Speculation& params) : params_(params) {
  GH_CHECK_GE(params.max_draft_tokens, 0);
  GH_CHECK_LE(params.max_draft_tokens, kMaxDraftTokens);
  drafts_.reserve(static_cast<size_t>(params.max_draft_tokens));
  length_ = std::min(kFirstLength, params.max_draft_tokens);
}

void Drafter::Propose(std::span<const int32_t> tokens, int64_t most) {
  drafts_.clear();
  most = std::min<int64_t>(most, length_);
  if (most <= 0) return;
  if (rest_ > 0) {
    --rest_;
    return;
  }
  const int64_t end = FindNgram(tokens, params_.min_ngram, params_.max_ngram);
  const auto size = static_cast<int64_t>(tokens.size());
  if (end == 0) {
    const int64_t rest = std::min<int64_t>((1 << std::min(fruitless_, 8)) - 1, kMostFruitlessRest);
    rest_ = static_cast<int32_t>(std::min(rest, size / kTokensPerRest));
    ++fruitless_;
    return;
  }
  fruitless_ = 0;
  for (int64_t i = end; i < end + most; ++i) {
    drafts_.push_back(i < size ? tokens[static_cast<size_t>(i)] : drafts_[static_cast<size_t>(i - size)]);
  }
}

void Drafter::Verified(int32_t drafted, int32_t accepted) {
  if (drafted == 0) return;
  if (accepted > 0) {
    misses_ = 0;
    length_ = accepted < drafted ? accepted + 1 : std::max(length_, 2 * drafted);
    length_ = std::clamp(length_, 1, params_.max_draft_tokens);
    return;
  }
  // The first miss is bad luck; from the second on each costs more patience.
  length_ = 1;
  rest_ = std::min(kMostRest, (1 << std::min(misses_, 8)) - 1);
  ++misses_;
}

}  // namespace guildhall
