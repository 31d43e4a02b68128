#include "server/answer_stream.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/proto_time.h"
#include "server/token_text.h"

namespace guildhall {
namespace {

constexpr int kTokensPerChunk = 64;
constexpr size_t kPromptTokensPerMessage = 256;

v1::FinishReason ProtoReason(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return v1::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
    case FinishReason::kDeadline:
      return v1::FINISH_REASON_DEADLINE;
    case FinishReason::kError:
      return v1::FINISH_REASON_ERROR;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

// The engine says why; where it says nothing, the reason alone decides.
absl::Status StatusOf(const RequestEnd& end) {
  if (!end.status.ok()) return end.status;
  switch (end.reason) {
    case FinishReason::kCancelled:
      return absl::CancelledError("the request was cancelled");
    case FinishReason::kDeadline:
      return absl::DeadlineExceededError("the request's time limit passed");
    case FinishReason::kError:
      return absl::InternalError("the request failed");
    default:
      return absl::OkStatus();
  }
}

v1::GenerateResponse StartMessage(const Request& request) {
  v1::GenerateResponse response;
  v1::GenerateStart& start = *response.mutable_start();
  start.set_request_id(request.id);
  start.set_task(request.task);
  start.set_seed(request.sampling.seed);
  start.set_prompt_tokens(static_cast<int64_t>(request.prompt.size()));
  return response;
}

}  // namespace

absl::StatusOr<AnswerStream> AnswerStream::Create(const Deployment& deployment,
                                                  const ValidatedRequest& validated, const Request& request) {
  GH_ASSIGN_OR_RETURN(AnswerText text, AnswerText::Create(validated.tokenizer, request.prompt, validated));
  return AnswerStream(deployment, validated, request, std::move(text));
}

AnswerStream::AnswerStream(const Deployment& deployment, const ValidatedRequest& validated,
                           const Request& request, AnswerText text)
    : deployment_(&deployment), validated_(&validated), request_(&request), text_(std::move(text)) {
  outbox_.push_back(StartMessage(request));
}

std::optional<v1::GenerateResponse> AnswerStream::Next() {
  while (true) {
    if (!outbox_.empty()) {
      v1::GenerateResponse message = std::move(outbox_.front());
      outbox_.pop_front();
      return message;
    }
    if (auto message = NextOfPrompt()) return message;
    if (ended_) return std::nullopt;
    if (!held_) held_ = request_->stream->Pop(absl::InfinitePast());
    if (!held_) return std::nullopt;
    if (!prompt_taken_) {
      TakePrompt();
    } else if (std::holds_alternative<RequestEnd>(*held_)) {
      End(std::get<RequestEnd>(*std::exchange(held_, std::nullopt)));
    } else if (auto chunk = TakeTokens()) {
      return chunk;
    }
  }
}

void AnswerStream::ClientLeft() {
  if (ended() || std::exchange(gone_, true)) return;
  outbox_.clear();
  prompt_.clear();
  request_->stream->Cancel(FinishReason::kCancelled);
}

void AnswerStream::Fail(absl::Status status) {
  failure_.Update(std::move(status));
  ClientLeft();
}

AnswerSummary AnswerStream::TakeSummary() {
  // An answer of which something was dropped is none, whatever the engine says.
  if (gone_ && summary_.status.ok()) {
    summary_.status = absl::CancelledError("the client left before the answer was complete");
  }
  if (gone_) summary_.reason = v1::FINISH_REASON_CANCELLED;
  if (!failure_.ok()) {
    summary_.status = failure_;
    summary_.reason = v1::FINISH_REASON_ERROR;
  }
  return std::move(summary_);
}

void AnswerStream::TakePrompt() {
  prompt_taken_ = true;
  if (!validated_->sampling.prompt_logprobs || gone_) return;
  prompt_ = request_->stream->TakePromptLogprobs();
  if (prompt_.empty() && request_->prompt.size() > 1) return;  // ended before the prompt was read
  // The engine gives what follows a token; the first one follows nothing.
  TokenLogprob first;
  first.token = request_->prompt.front();
  prompt_.insert(prompt_.begin(), first);
}

std::optional<v1::GenerateResponse> AnswerStream::NextOfPrompt() {
  if (prompt_given_ >= prompt_.size()) return std::nullopt;
  v1::GenerateResponse response;
  const size_t end = std::min(prompt_given_ + kPromptTokensPerMessage, prompt_.size());
  for (; prompt_given_ < end; ++prompt_given_) {
    FillLogprob(prompt_[prompt_given_], prompt_given_ > 0, *response.mutable_prompt()->add_logprobs());
  }
  if (end == prompt_.size()) prompt_ = {};
  return response;
}

// Gathers the tokens that are there into one chunk.
std::optional<v1::GenerateResponse> AnswerStream::TakeTokens() {
  v1::GenerateResponse response;
  v1::GenerateChunk& chunk = *response.mutable_chunk();
  while (held_ && std::holds_alternative<TokenEvent>(*held_)) {
    AddToken(std::get<TokenEvent>(*held_), chunk);
    held_.reset();
    if (chunk.token_ids_size() >= kTokensPerChunk) break;
    held_ = request_->stream->Pop(absl::InfinitePast());
  }
  if (chunk.token_ids_size() == 0) return std::nullopt;
  return response;
}

void AnswerStream::AddToken(const TokenEvent& event, v1::GenerateChunk& chunk) {
  // The engine runs ahead of a stop string that only the text shows: those tokens are not part of the
  // answer.
  if (gone_ || text_.matched() || !failure_.ok()) return;
  auto text = text_.Append(event.token);
  if (!text.ok()) {
    failure_ = text.status();
    request_->stream->Cancel(FinishReason::kCancelled);
    return;
  }
  chunk.mutable_text()->append(*text);
  if (deployment_->log_prompts) shown_ += *text;
  drafted_ += event.drafted;
  accepted_ += event.guessed ? 1 : 0;
  chunk.add_token_ids(event.token);
  if (event.has_logprob) FillLogprob(event.logprob, true, *chunk.add_logprobs());
  if (text_.matched()) request_->stream->Cancel(FinishReason::kStop);
}

void AnswerStream::FillLogprob(const TokenLogprob& from, bool has_value, v1::Logprob& to) const {
  const Tokenizer* tokenizer = validated_->tokenizer.get();
  to.set_token_id(from.token);
  to.set_text(TokenBytes(tokenizer, from.token));
  if (has_value) to.set_logprob(from.logprob);
  for (const auto& [token, logprob] : from.top) {
    v1::TopLogprob& top = *to.add_top();
    top.set_token_id(token);
    top.set_text(TokenBytes(tokenizer, token));
    top.set_logprob(logprob);
  }
}

void AnswerStream::End(const RequestEnd& end) {
  ended_ = true;
  WriteRest(end);
  const bool complete = text_.matched().has_value();
  summary_.status = complete ? absl::OkStatus() : StatusOf(end);
  summary_.reason =
      failure_.ok() ? complete ? v1::FINISH_REASON_STOP : ProtoReason(end.reason) : v1::FINISH_REASON_ERROR;
  summary_.usage = end.usage;
  // Past a stop string that only the text shows, the engine's own counts go on.
  if (complete) {
    summary_.usage.output_tokens = static_cast<int32_t>(text_.tokens());
    summary_.usage.drafted_tokens = drafted_;
    summary_.usage.accepted_tokens = accepted_;
  }
  summary_.timings = end.timings;
  summary_.text = std::move(shown_);
  WriteEnd(end);
  if (gone_) outbox_.clear();
}

// The stop string that names the special token at the end; null: none does.
const std::string* AnswerStream::SpecialStop(const RequestEnd& end) const {
  if (end.reason != FinishReason::kStop || text_.matched()) return nullptr;
  const auto stop = validated_->special_stops.find(end.stop_token);
  return stop == validated_->special_stops.end() ? nullptr : &stop->second;
}

void AnswerStream::WriteRest(const RequestEnd& end) {
  if (!failure_.ok()) return;
  auto rest = text_.Finish();
  if (!rest.ok()) failure_ = rest.status();
  if (!rest.ok()) return;
  const std::string* const special = SpecialStop(end);
  if (special != nullptr && validated_->include_stop) *rest += *special;
  if (rest->empty()) return;
  v1::GenerateResponse response;
  response.mutable_chunk()->set_text(*rest);
  if (deployment_->log_prompts) shown_ += *rest;
  outbox_.push_back(std::move(response));
}

void AnswerStream::WriteEnd(const RequestEnd& end) {
  v1::GenerateResponse response;
  v1::GenerateEnd& message = *response.mutable_end();
  message.set_finish_reason(summary_.reason);
  if (text_.matched()) {
    message.set_stop_text(*text_.matched());
  } else if (const std::string* const special = SpecialStop(end); special != nullptr) {
    message.set_stop_text(*special);
  } else if (end.reason == FinishReason::kStop && end.stop_token >= 0) {
    message.set_stop_token_id(end.stop_token);
  }
  SetCounts(message);
  message.set_seed(request_->sampling.seed);
  if (request_->adapters != nullptr) {
    for (const AdapterSet::Member& member : request_->adapters->members) {
      v1::ServedAdapter& adapter = *message.add_adapters();
      adapter.set_name(member.name);
      adapter.set_version(member.version);
    }
  }
  outbox_.push_back(std::move(response));
}

void AnswerStream::SetCounts(v1::GenerateEnd& message) const {
  const RequestUsage& used = summary_.usage;
  v1::Usage& usage = *message.mutable_usage();
  usage.set_prompt_tokens(used.prompt_tokens);
  usage.set_cached_tokens(used.cached_tokens);
  usage.set_output_tokens(used.output_tokens);
  usage.set_preemptions(used.preemptions);
  usage.set_drafted_tokens(used.drafted_tokens);
  usage.set_accepted_tokens(used.accepted_tokens);
  const RequestTimings& took = summary_.timings;
  v1::Timings& timings = *message.mutable_timings();
  SetDuration(took.queue, *timings.mutable_queue());
  SetDuration(took.prefill, *timings.mutable_prefill());
  SetDuration(took.first_token, *timings.mutable_first_token());
  SetDuration(took.total, *timings.mutable_total());
  const int32_t gaps = used.output_tokens - 1;
  SetDuration(gaps > 0 ? (took.total - took.first_token) / gaps : absl::ZeroDuration(),
              *timings.mutable_per_token());
}

}  // namespace guildhall
