#include "server/generation.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "engine/token_stream.h"
#include "server/error_details.h"
#include "server/guarded.h"

namespace guildhall {
namespace {

// "math@3, intent@7"
std::string AdapterNames(const AdapterSet& adapters) {
  std::string text;
  for (const AdapterSet::Member& member : adapters.members) {
    StrAppend(&text, text.empty() ? "" : ", ", member.name, "@", member.version);
  }
  return text;
}

// What a cancelled request is told when it was the shutdown that cancelled it.
absl::Status AtShutdown(const ServerState& state, absl::Status status, bool client_gone) {
  const bool cancelled = absl::IsCancelled(status) || absl::IsUnavailable(status);
  if (client_gone || !cancelled || state.phase() != ServerState::Phase::kDraining) return status;
  return WithRetry(absl::UnavailableError("the server shut down before the answer was complete"),
                   absl::Seconds(1));
}

}  // namespace

PreparedRequest::PreparedRequest(std::shared_ptr<const Deployment> to)
    : deployment(std::move(to)), charge(*deployment->request_memory) {}

Generation::Generation(const ServerState& state, AnswerThreads& threads, Call& client,
                       std::unique_ptr<GenerateSink> sink, uint64_t id, const std::string& task)
    : state_(state), threads_(threads), client_(client), sink_(std::move(sink)), begin_(absl::Now()) {
  line_.id = id;
  line_.task = task;
  line_.peer = client.peer();
}

absl::Status Generation::Start(std::unique_ptr<OpenStreams::Ticket> ticket, PreparedRequest prepared) {
  ticket_ = std::move(ticket);
  prepared_.emplace(std::move(prepared));
  const Request& request = *prepared_->request;
  line_.prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (request.adapters != nullptr) line_.adapters = AdapterNames(*request.adapters);
  line_.prompt = std::move(prepared_->prompt_text);
  GH_ASSIGN_OR_RETURN(AnswerStream answer,
                      AnswerStream::Create(*prepared_->deployment, prepared_->validated, request));
  answer_.emplace(std::move(answer));
  ticket_->OnCutOff([this] { Wake(); });
  client_.OnCancelled([self = weak_from_this()] {
    if (const auto generation = self.lock()) generation->Wake();
  });
  request.stream->OnEvent([self = shared_from_this()] { self->Wake(); });
  GH_RETURN_IF_ERROR(prepared_->deployment->engine->Submit(prepared_->request));
  threads_.Post([self = shared_from_this()] { self->Run(); });
  return absl::OkStatus();
}

void Generation::Wake() {
  if (wakes_.fetch_add(1) == 0) threads_.Post([self = shared_from_this()] { self->Run(); });
}

void Generation::Run() {
  int seen = wakes_.load();
  do {
    if (Advance()) return;
  } while (!wakes_.compare_exchange_strong(seen, 0));
}

bool Generation::Advance() {
  const absl::Status written = Guarded([this] {
    WriteWhatIsThere();
    return absl::OkStatus();
  });
  if (!written.ok()) {
    answer_->Fail(written);
    Wake();
  }
  if (writing_ || !answer_->ended()) return false;
  line_.summary = answer_->TakeSummary();
  End(line_.summary->status);
  return true;
}

void Generation::WriteWhatIsThere() {
  while (true) {
    if (write_failed_ || ticket_->over()) answer_->ClientLeft();
    if (writing_) return;
    const std::optional<v1::GenerateResponse> message = answer_->Next();
    if (!message) return;
    Write(*message);
  }
}

void Generation::Write(const v1::GenerateResponse& message) {
  writing_ = true;
  // A client that takes no more of the answer is found by OpenStreams::CancelStalled.
  ticket_->BeginWrite();
  try {
    sink_->Write(message, [self = shared_from_this()](bool taken) { self->Sent(taken); });
  } catch (...) {
    Sent(false);
    throw;
  }
}

void Generation::Sent(bool taken) {
  ticket_->EndWrite();
  if (!taken) write_failed_ = true;
  writing_ = false;
  Wake();
}

void Generation::End(absl::Status status) {
  if (prepared_ && prepared_->request != nullptr) {
    prepared_->request->stream->OnEvent(nullptr);
    // The engine does not go on for nobody, whatever ended it.
    prepared_->request->stream->Cancel(FinishReason::kCancelled);
  }
  line_.status = AtShutdown(state_, std::move(status), client_.cancelled());
  line_.total = absl::Now() - begin_;
  answer_.reset();
  prepared_.reset();
  ticket_.reset();
  if (logged_)
    (void)Guarded([this] {
      LogRequest(line_);
      return absl::OkStatus();
    });
  sink_->Finish(line_.status);
}

}  // namespace guildhall
