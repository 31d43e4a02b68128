#include "engine/publisher.h"

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "engine/logprobs.h"
#include "engine/token_stream.h"

namespace guildhall {

Publisher::Result Publisher::Rows(Sequence& sequence, int32_t rows, std::span<const float> logits,
                                  absl::Time now) {
  const int32_t length = sequence.length();
  const int32_t end = sequence.computed + rows;
  const int32_t first = std::max(sequence.FirstOutput(), sequence.computed);
  const std::span<const int32_t> drafts = sequence.drafter.drafts();
  Result result{.logit_rows = std::max(0, end - first), .drafted = std::max(0, end - length)};
  guesses_ = drafts.first(static_cast<size_t>(result.drafted));
  guesses_begin_ = length;
  for (int32_t position = first; position < std::min(end, length + result.accepted); ++position) {
    const auto row = static_cast<size_t>((position - first) * vocabulary_);
    Row(sequence, position, logits.subspan(row, static_cast<size_t>(vocabulary_)), now);
    const int32_t next = position + 1;
    if (next < length || next >= end || next >= sequence.length()) continue;
    const bool right =
        sequence.tokens[static_cast<size_t>(next)] == drafts[static_cast<size_t>(next - length)];
    if (right) ++result.accepted;
  }
  guesses_ = {};
  // The keys of wrong guesses lie behind this and are written over.
  sequence.computed = std::min({end, length + result.accepted, sequence.length()});
  if (result.drafted == 0) return result;
  sequence.drafter.Verified(result.drafted, result.accepted);
  sequence.end.usage.drafted_tokens += result.drafted;
  sequence.end.usage.accepted_tokens += result.accepted;
  return result;
}

void Publisher::Row(Sequence& sequence, int32_t position, std::span<const float> logits, absl::Time now) {
  if (sequence.ended) return;
  try {
    if (sequence.WantsPromptLogits() && position < sequence.prompt_tokens && position >= sequence.scored) {
      PromptRow(sequence, position, logits, now);
    }
    const bool wants_token = sequence.request->sampling.max_tokens > 0;
    if (!sequence.ended && wants_token && position + 1 == sequence.length()) OutputRow(sequence, logits, now);
  } catch (const std::bad_alloc&) {
    sequence.End(FinishReason::kError, absl::StatusCode::kResourceExhausted,
                 "no memory was left to go on with this request", now);
  } catch (const std::exception& error) {
    sequence.End(FinishReason::kError, absl::StatusCode::kInternal, error.what(), now);
  }
}

void Publisher::PromptRow(Sequence& sequence, int32_t position, std::span<const float> logits,
                          absl::Time now) {
  const Request& request = *sequence.request;
  if (absl::Status status = CheckFinite(logits); !status.ok()) return Fail(sequence, status, now);
  if (request.on_prompt_logits) request.on_prompt_logits(position, logits);
  if (request.sampling.prompt_logprobs && position + 1 < sequence.prompt_tokens) {
    const int32_t next = sequence.tokens[static_cast<size_t>(position) + 1];
    sequence.prompt_logprobs.push_back(MakeLogprob(logits, next, request.sampling.top_logprobs, buffer_));
  }
  health_.Good();
  sequence.scored = position + 1;
  if (sequence.scored == sequence.prompt_tokens && request.sampling.prompt_logprobs) {
    request.stream->SetPromptLogprobs(std::exchange(sequence.prompt_logprobs, {}));
  }
}

void Publisher::OutputRow(Sequence& sequence, std::span<const float> logits, absl::Time now) {
  const Request& request = *sequence.request;
  const auto outputs = static_cast<int64_t>(sequence.output().size());
  const absl::StatusOr<int32_t> token = sampler_.Sample(logits, request.sampling, sequence.prompt(),
                                                        sequence.output(), sequence.stop.Masked(outputs));
  if (!token.ok()) return Fail(sequence, token.status(), now);
  health_.Good();
  const std::optional<FinishReason> reason = sequence.stop.After(*token, outputs + 1, sequence.length() + 1);
  TokenEvent event{.token = *token, .has_logprob = request.sampling.logprobs, .logprob = {}};
  if (!guesses_.empty()) {
    const auto at = static_cast<size_t>(sequence.length() - guesses_begin_);
    event.drafted = at == 0 ? static_cast<int32_t>(guesses_.size()) : 0;
    event.guessed = at < guesses_.size() && guesses_[at] == *token;
  }
  if (event.has_logprob) event.logprob = MakeLogprob(logits, *token, request.sampling.top_logprobs, buffer_);

  sequence.tokens.push_back(*token);
  if (outputs == 0) sequence.first_token = now;
  if (reason == FinishReason::kStop) {
    sequence.end.stop_token = *token;
  } else {
    request.stream->Push(std::move(event));
  }
  if (reason.has_value()) sequence.End(*reason, absl::StatusCode::kOk, "", now);
}

void Publisher::Fail(Sequence& sequence, const absl::Status& status, absl::Time now) {
  const std::string message(status.message());
  if (absl::IsInternal(status)) health_.Bad(sequence.adapters(), message, now);
  sequence.End(FinishReason::kError, status.code(), message, now);
}

}  // namespace guildhall
