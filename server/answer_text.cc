#include "server/answer_text.h"

#include <utility>

#include "base/status.h"

namespace guildhall {

absl::StatusOr<AnswerText> AnswerText::Create(std::shared_ptr<const Tokenizer> tokenizer,
                                              std::span<const int32_t> prompt,
                                              const ValidatedRequest& request) {
  GH_ASSIGN_OR_RETURN(StopMatcher matcher, StopMatcher::Create(request.stop, request.include_stop));
  AnswerText answer(std::move(matcher));
  if (tokenizer != nullptr) answer.decoder_.emplace(*tokenizer, request.skip_special_tokens, prompt);
  answer.tokenizer_ = std::move(tokenizer);
  answer.stops_ = request.stop;
  answer.min_tokens_ = request.sampling.min_tokens;
  return answer;
}

std::string AnswerText::Match(std::string text) {
  if (stops_.empty()) return text;
  // A stop string that is complete before min_tokens is text like any other; one may begin there.
  StopMatcher::Output output = matcher_.Append(text, tokens_ >= min_tokens_);
  if (output.stop) matched_ = stops_[*output.stop];
  return std::move(output.text);
}

absl::StatusOr<std::string> AnswerText::Append(int32_t token) {
  if (matched_) return std::string();
  ++tokens_;
  if (!decoder_) return std::string();
  GH_ASSIGN_OR_RETURN(std::string text, decoder_->Append(token));
  return Match(std::move(text));
}

absl::StatusOr<std::string> AnswerText::Finish() {
  if (matched_ || !decoder_) return std::string();
  GH_ASSIGN_OR_RETURN(std::string rest, decoder_->Finish());
  std::string text = Match(std::move(rest));
  if (!matched_) text += matcher_.Finish().text;
  return text;
}

}  // namespace guildhall
