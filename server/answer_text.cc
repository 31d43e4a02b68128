#include "server/answer_text.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace guildhall {

absl::StatusOr<AnswerText> AnswerText::Create(std::shared_ptr<const Tokenizer> tokenizer,
                                              const ValidatedRequest& request,
                                              const std::vector<int32_t>& eos_tokens) {
  GH_ASSIGN_OR_RETURN(StopMatcher matcher, StopMatcher::Create(request.stop, request.include_stop));
  AnswerText answer(std::move(matcher));
  if (tokenizer != nullptr) answer.decoder_.emplace(*tokenizer);
  answer.tokenizer_ = std::move(tokenizer);
  answer.stops_ = request.stop;
  answer.min_tokens_ = request.sampling.min_tokens;
  answer.silent_tokens_ = request.sampling.stop_tokens;
  if (!request.sampling.ignore_eos) {
    answer.silent_tokens_.insert(answer.silent_tokens_.end(), eos_tokens.begin(), eos_tokens.end());
  }
  std::sort(answer.silent_tokens_.begin(), answer.silent_tokens_.end());
  return answer;
}

std::string AnswerText::Match(std::string text) {
  // Before min_tokens a stop string is text like any other.
  if (tokens_ < min_tokens_ || stops_.empty()) return text;
  StopMatcher::Output output = matcher_.Append(text);
  if (output.stop) matched_ = stops_[*output.stop];
  return std::move(output.text);
}

absl::StatusOr<std::string> AnswerText::Append(int32_t token) {
  if (matched_) return std::string();
  ++tokens_;
  if (!decoder_ || std::binary_search(silent_tokens_.begin(), silent_tokens_.end(), token)) return std::string();
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
