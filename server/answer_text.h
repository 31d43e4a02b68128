// Tokens of one answer in, text that may be shown out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/validate.h"
#include "text/incremental_decoder.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace guildhall {

// Whole characters only, and nothing that may turn out to begin a stop string. Single owner.
class AnswerText {
 public:
  // `tokenizer` may be null: then there is no text, and no stop string can match. The text goes on where that
  // of `prompt` ends.
  static absl::StatusOr<AnswerText> Create(std::shared_ptr<const Tokenizer> tokenizer,
                                           std::span<const int32_t> prompt, const ValidatedRequest& request);

  // The text that becomes certain with `token`. After a match tokens are ignored.
  absl::StatusOr<std::string> Append(int32_t token);
  // The end of the tokens: what was held back.
  absl::StatusOr<std::string> Finish();

  // The stop string that was found.
  const std::optional<std::string>& matched() const { return matched_; }
  int64_t tokens() const { return tokens_; }  // taken, the one that completed a stop string included

 private:
  explicit AnswerText(StopMatcher matcher) : matcher_(std::move(matcher)) {}
  std::string Match(std::string text);

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<IncrementalDecoder> decoder_;
  StopMatcher matcher_;
  std::vector<std::string> stops_;
  int64_t min_tokens_ = 0;
  int64_t tokens_ = 0;
  std::optional<std::string> matched_;
};

}  // namespace guildhall
