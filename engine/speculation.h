// Prompt lookup: guesses at a sequence's next tokens, from what its own text said before.
//
// A guess costs a row of the step and saves a step where it is right. It never changes an answer: each
// position is sampled as it would be without guesses, and a guess counts only where it equals what was
// sampled. After "Prompt Lookup Decoding" (A. Saxena, 2023) and speculative decoding (Leviathan et al., ICML
// 2023), without rejection sampling: random numbers belong to positions here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace guildhall {

inline constexpr int32_t kMaxDraftTokens = 64;
inline constexpr int32_t kMaxNgram = 64;

struct Speculation {
  int32_t max_draft_tokens = 0;  // of one step, 0: none, at most kMaxDraftTokens
  int32_t min_ngram = 2;         // so many last tokens must have occurred before, at least 1
  int32_t max_ngram = 6;         // more of them are not compared, at most kMaxNgram

  bool operator==(const Speculation&) const = default;
};

// One sequence's guesses and how far they are trusted. The trust follows the sequence's own hits: it doubles
// where all guesses were right, falls to what was right, and after several steps without a hit it rests for
// twice as many steps as the last time. Searches of a long text that find nothing rest likewise, for no more
// than a step for each kTokensPerRest tokens. Takes its memory in the constructor.
class Drafter {
 public:
  explicit Drafter(const Speculation& params = {});

  bool enabled() const { return params_.max_draft_tokens > 0; }

  // Once for each step in which the sequence could take guesses: at most `most` tokens that may follow
  // `tokens`, the continuation of the last earlier place where the longest suffix occurred. Where the place's
  // own continuation ends the text, it goes on into itself, so that a short period is followed for long.
  void Propose(std::span<const int32_t> tokens, int64_t most);
  void Clear() { drafts_.clear(); }

  // Valid until the next call of Propose or Clear.
  std::span<const int32_t> drafts() const { return drafts_; }

  // Of `drafted` guesses that a step computed, the first `accepted` were right.
  void Verified(int32_t drafted, int32_t accepted);

 private:
  static constexpr int32_t kFirstLength = 4;
  static constexpr int32_t kMostRest = 32;  // steps
  static constexpr int32_t kMostFruitlessRest = 7;
  static constexpr int64_t kTokensPerRest = 1024;

  Speculation params_;
  std::vector<int32_t> drafts_;  // room for max_draft_tokens
  int32_t length_ = 0;           // that is trusted now
  int32_t misses_ = 0;           // steps in a row without a hit
  int32_t rest_ = 0;             // steps to go without guesses
  int32_t fruitless_ = 0;        // searches in a row that found nothing
};

// The end (one past the last token) of the last place before the text's own end where the longest suffix of
// between `min_ngram` and `max_ngram` tokens occurs; 0: there is none. Its work is bounded: it looks at the
// last kSearchedTokens, and where these repeat themselves so much that kMostCompared tokens behind a first
// equal one did not suffice, it goes by the places seen until then. `compared`: how many comparisons it took.
inline constexpr int64_t kSearchedTokens = 1 << 16;
inline constexpr int64_t kMostCompared = 1 << 15;
int64_t FindNgram(std::span<const int32_t> tokens, int32_t min_ngram, int32_t max_ngram,
                  int64_t* compared = nullptr);

}  // namespace guildhall
