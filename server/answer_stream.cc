#include "server/answer_stream.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "engine/token_stream.h"
#include "server/answer_text.h"
#include "server/proto_time.h"
#include "server/token_text.h"

namespace guildhall {
namespace {

constexpr absl::Duration kClientCheck = absl::Milliseconds(50);
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

class AnswerWriter {
 public:
  AnswerWriter(const Deployment& deployment, const ValidatedRequest& validated, const Request& request,
               const Call& call, GenerateSink& sink, AnswerText text)
      : deployment_(deployment),
        validated_(validated),
        request_(request),
        call_(call),
        sink_(sink),
        text_(std::move(text)) {}

  AnswerSummary Run() {
    while (true) {
      auto event = request_.stream->Pop(absl::Now() + kClientCheck);
      if (!gone_ && call_.cancelled()) ClientLeft();
      if (!event) continue;
      if (!prompt_written_) WritePrompt();
      event = TakeTokens(std::move(event));
      if (event) return End(std::get<RequestEnd>(*event));
    }
  }

 private:
  void ClientLeft() {
    gone_ = true;
    request_.stream->Cancel(FinishReason::kCancelled);
  }

  void Write(const v1::GenerateResponse& response) {
    if (!gone_ && !sink_.Write(response)) ClientLeft();
  }

  void WritePrompt() {
    prompt_written_ = true;
    if (!validated_.sampling.prompt_logprobs) return;
    std::vector<TokenLogprob> logprobs = request_.stream->TakePromptLogprobs();
    if (logprobs.empty() && request_.prompt.size() > 1) return;  // ended before the prompt was read
    // The engine gives what follows a token; the first one follows nothing.
    TokenLogprob first;
    first.token = request_.prompt.front();
    logprobs.insert(logprobs.begin(), first);
    for (size_t begin = 0; begin < logprobs.size(); begin += kPromptTokensPerMessage) {
      v1::GenerateResponse response;
      const size_t end = std::min(begin + kPromptTokensPerMessage, logprobs.size());
      for (size_t i = begin; i < end; ++i) {
        FillLogprob(logprobs[i], i > 0, *response.mutable_prompt()->add_logprobs());
      }
      Write(response);
    }
  }

  // Gathers the tokens that are there into one chunk. Returns the end event if it has come.
  std::optional<TokenStream::Event> TakeTokens(std::optional<TokenStream::Event> event) {
    v1::GenerateResponse response;
    v1::GenerateChunk& chunk = *response.mutable_chunk();
    while (event && std::holds_alternative<TokenEvent>(*event)) {
      AddToken(std::get<TokenEvent>(*event), chunk);
      if (chunk.token_ids_size() >= kTokensPerChunk) {
        event.reset();
        break;
      }
      event = request_.stream->Pop(absl::InfinitePast());
    }
    if (chunk.token_ids_size() > 0) Write(response);
    return event;
  }

  void AddToken(const TokenEvent& event, v1::GenerateChunk& chunk) {
    // The engine runs ahead of a stop string that only the text shows: those tokens are not part of the
    // answer.
    if (gone_ || text_.matched() || !failure_.ok()) return;
    auto text = text_.Append(event.token);
    if (!text.ok()) {
      failure_ = text.status();
      request_.stream->Cancel(FinishReason::kCancelled);
      return;
    }
    chunk.mutable_text()->append(*text);
    if (deployment_.log_prompts) shown_ += *text;
    drafted_ += event.drafted;
    accepted_ += event.guessed ? 1 : 0;
    chunk.add_token_ids(event.token);
    if (event.has_logprob) FillLogprob(event.logprob, true, *chunk.add_logprobs());
    if (text_.matched()) request_.stream->Cancel(FinishReason::kStop);
  }

  void FillLogprob(const TokenLogprob& from, bool has_value, v1::Logprob& to) const {
    const Tokenizer* tokenizer = deployment_.text.tokenizer.get();
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

  AnswerSummary End(const RequestEnd& end) {
    WriteRest(end);
    AnswerSummary summary;
    const bool complete = text_.matched().has_value();
    summary.status = !failure_.ok() ? failure_ : complete ? absl::OkStatus() : StatusOf(end);
    summary.reason = !failure_.ok() ? v1::FINISH_REASON_ERROR
                     : complete     ? v1::FINISH_REASON_STOP
                                    : ProtoReason(end.reason);
    if (gone_ && !complete) summary.reason = v1::FINISH_REASON_CANCELLED;
    summary.usage = end.usage;
    // Past a stop string that only the text shows, the engine's own counts go on.
    if (complete) {
      summary.usage.output_tokens = static_cast<int32_t>(text_.tokens());
      summary.usage.drafted_tokens = drafted_;
      summary.usage.accepted_tokens = accepted_;
    }
    summary.timings = end.timings;
    WriteEnd(summary, end);
    summary.text = std::move(shown_);
    return summary;
  }

  // The stop string that names the special token at the end; null: none does.
  const std::string* SpecialStop(const RequestEnd& end) const {
    if (end.reason != FinishReason::kStop || text_.matched()) return nullptr;
    const auto stop = validated_.special_stops.find(end.stop_token);
    return stop == validated_.special_stops.end() ? nullptr : &stop->second;
  }

  void WriteRest(const RequestEnd& end) {
    if (!failure_.ok()) return;
    auto rest = text_.Finish();
    if (!rest.ok()) failure_ = rest.status();
    if (!rest.ok()) return;
    const std::string* const special = SpecialStop(end);
    if (special != nullptr && validated_.include_stop) *rest += *special;
    if (rest->empty()) return;
    v1::GenerateResponse response;
    response.mutable_chunk()->set_text(*rest);
    if (deployment_.log_prompts) shown_ += *rest;
    Write(response);
  }

  void WriteEnd(const AnswerSummary& summary, const RequestEnd& end) {
    v1::GenerateResponse response;
    v1::GenerateEnd& message = *response.mutable_end();
    message.set_finish_reason(summary.reason);
    if (text_.matched()) {
      message.set_stop_text(*text_.matched());
    } else if (const std::string* const special = SpecialStop(end); special != nullptr) {
      message.set_stop_text(*special);
    } else if (end.reason == FinishReason::kStop && end.stop_token >= 0) {
      message.set_stop_token_id(end.stop_token);
    }
    message.mutable_usage()->set_prompt_tokens(summary.usage.prompt_tokens);
    message.mutable_usage()->set_cached_tokens(summary.usage.cached_tokens);
    message.mutable_usage()->set_output_tokens(summary.usage.output_tokens);
    message.mutable_usage()->set_preemptions(summary.usage.preemptions);
    message.mutable_usage()->set_drafted_tokens(summary.usage.drafted_tokens);
    message.mutable_usage()->set_accepted_tokens(summary.usage.accepted_tokens);
    v1::Timings& timings = *message.mutable_timings();
    SetDuration(end.timings.queue, *timings.mutable_queue());
    SetDuration(end.timings.prefill, *timings.mutable_prefill());
    SetDuration(end.timings.first_token, *timings.mutable_first_token());
    SetDuration(end.timings.total, *timings.mutable_total());
    const absl::Duration decode = end.timings.total - end.timings.first_token;
    const int32_t gaps = summary.usage.output_tokens - 1;
    SetDuration(gaps > 0 ? decode / gaps : absl::ZeroDuration(), *timings.mutable_per_token());
    message.set_seed(request_.sampling.seed);
    if (request_.adapters != nullptr) {
      for (const AdapterSet::Member& member : request_.adapters->members) {
        v1::ServedAdapter& adapter = *message.add_adapters();
        adapter.set_name(member.name);
        adapter.set_version(member.version);
      }
    }
    Write(response);
  }

  const Deployment& deployment_;
  const ValidatedRequest& validated_;
  const Request& request_;
  const Call& call_;
  GenerateSink& sink_;
  AnswerText text_;
  bool prompt_written_ = false;
  bool gone_ = false;
  int32_t drafted_ = 0, accepted_ = 0;  // in the steps of the answer's tokens; of these, in the answer
  absl::Status failure_;                // of detokenizing
  std::string shown_;
};

}  // namespace

AnswerSummary StreamAnswer(const Deployment& deployment, const ValidatedRequest& validated,
                           const Request& request, const Call& call, GenerateSink& sink) {
  auto text = AnswerText::Create(deployment.text.tokenizer, request.prompt, validated);
  if (!text.ok()) {
    // The request is in the engine already: its one end event is still awaited, so that nothing is left
    // behind.
    request.stream->Cancel(FinishReason::kCancelled);
    AnswerSummary summary;
    summary.status = text.status();
    summary.reason = v1::FINISH_REASON_ERROR;
    while (true) {
      const auto event = request.stream->Pop(absl::InfiniteFuture());
      if (event && std::holds_alternative<RequestEnd>(*event)) return summary;
    }
  }
  return AnswerWriter(deployment, validated, request, call, sink, *std::move(text)).Run();
}

}  // namespace guildhall
