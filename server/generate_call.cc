#include "server/generate_call.h"

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "engine/token_stream.h"
#include "server/answer_stream.h"
#include "server/error_details.h"
#include "server/guarded.h"
#include "server/prompt_builder.h"
#include "server/request_log.h"
#include "server/request_memory.h"
#include "server/validate.h"

namespace guildhall {
namespace {

// A client that takes no more of the answer is found by OpenStreams::CancelStalled.
class WatchedSink final : public GenerateSink {
 public:
  WatchedSink(GenerateSink& sink, OpenStreams::Ticket& ticket) : sink_(sink), ticket_(ticket) {}

  bool Write(const v1::GenerateResponse& response) override {
    ticket_.BeginWrite();
    const bool written = sink_.Write(response);
    ticket_.EndWrite();
    return written;
  }

 private:
  GenerateSink& sink_;
  OpenStreams::Ticket& ticket_;
};

// A call of a server whose drain limit has passed is over, too.
class CallUntilCutOff final : public Call {
 public:
  CallUntilCutOff(Call& call, const ServerState& state) : call_(call), state_(state) {}

  absl::Time deadline() const override { return call_.deadline(); }
  bool cancelled() const override { return call_.cancelled() || state_.cut_off(); }
  void Cancel() override { call_.Cancel(); }
  std::string peer() const override { return call_.peer(); }
  std::optional<std::string> authorization() const override { return call_.authorization(); }

 private:
  Call& call_;
  const ServerState& state_;
};

uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// max_tokens of a default gives way to the context; what the client asked for is refused by name.
absl::Status FitLength(const ServedLimits& limits, int64_t prompt_tokens, ValidatedRequest& validated) {
  SamplingParams& sampling = validated.sampling;
  const int64_t room = limits.context_tokens - prompt_tokens;
  if (!validated.max_tokens_given && room > 0 && sampling.max_tokens > room) {
    sampling.max_tokens = static_cast<int32_t>(room);
    sampling.min_tokens = std::min(sampling.min_tokens, sampling.max_tokens);
  }
  if (sampling.max_tokens <= room) return absl::OkStatus();
  return WithField(
      absl::OutOfRangeError(StrCat("prompt tokens (", prompt_tokens, ") + max_tokens (", sampling.max_tokens,
                                   ") exceed the limit of ", limits.context_tokens,
                                   " tokens; nothing is cut off, send a shorter prompt or ask for less")),
      "sampling.max_tokens");
}

struct Prepared {
  ValidatedRequest validated;
  std::shared_ptr<Request> request;
  std::string prompt_text;
};

absl::StatusOr<Prepared> Prepare(const Deployment& deployment, const v1::GenerateRequest& proto,
                                 const Call& call, uint64_t id, MemoryCharge& charge) {
  GH_RETURN_IF_ERROR(charge.Add(MessageBytes(proto)));
  GH_ASSIGN_OR_RETURN(auto task, deployment.tasks->Find(proto.task()));
  Prepared prepared;
  GH_ASSIGN_OR_RETURN(prepared.validated,
                      ValidateGenerate(proto, std::move(task), deployment.limits, DrawSeed()));
  ValidatedRequest& validated = prepared.validated;
  if (deployment.text.tokenizer == nullptr && !validated.stop.empty()) {
    return PreconditionError("TOKENIZER", "model",
                             "sampling.stop: the model folder has no tokenizer, so there is no text "
                             "to look for stop strings in; use stop_token_ids");
  }
  if (deployment.text.tokenizer != nullptr) {
    TakeSpecialStops(*deployment.text.tokenizer, deployment.limits.vocabulary, validated);
  }
  const WorkLimit work{std::min(call.deadline(), absl::Now() + validated.time_limit),
                       [&call] { return call.cancelled(); }};
  const uint64_t text_work = TextWorkBytes(proto);
  GH_RETURN_IF_ERROR(charge.Add(text_work));
  const auto adapter = deployment.adapters->Text(validated.task->adapters);
  if (adapter != nullptr && adapter->end_token && !validated.sampling.ignore_eos &&
      *adapter->end_token < deployment.limits.vocabulary) {
    validated.sampling.stop_tokens.push_back(*adapter->end_token);
  }
  GH_ASSIGN_OR_RETURN(BuiltPrompt prompt, BuildPrompt(*validated.task, validated.input,
                                                      {deployment.text, deployment.limits,
                                                       *deployment.text_gate, work, adapter.get()}));
  validated.input = std::string();  // not needed any more; a long prompt would be kept twice
  charge.Remove(text_work);
  GH_RETURN_IF_ERROR(FitLength(deployment.limits, static_cast<int64_t>(prompt.ids.size()), validated));
  prepared.request = std::make_shared<Request>();
  Request& request = *prepared.request;
  request.id = id;
  request.task = validated.task->id;
  request.prompt = std::move(prompt.ids);
  request.sampling = validated.sampling;
  request.speculation = validated.speculation;
  request.deadline = work.deadline;
  request.stream = std::make_shared<TokenStream>(static_cast<size_t>(deployment.stream_capacity));
  request.cache_salt = std::move(validated.cache_salt);
  GH_RETURN_IF_ERROR(charge.Add(RunningBytes(request, deployment.stream_capacity)));
  if (deployment.log_prompts) {
    GH_RETURN_IF_ERROR(charge.Add(prompt.text.size()));
    prepared.prompt_text = std::move(prompt.text);
  }
  // Last, because it may wait: whatever else is wrong is told at once.
  GH_ASSIGN_OR_RETURN(request.adapters,
                      deployment.adapters->Acquire(validated.task->adapters, request.deadline,
                                                   [&] { return call.cancelled(); }));
  return prepared;
}

// "math@3, intent@7"
std::string AdapterText(const AdapterSet& adapters) {
  std::string text;
  for (const AdapterSet::Member& member : adapters.members) {
    StrAppend(&text, text.empty() ? "" : ", ", member.name, "@", member.version);
  }
  return text;
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

// Whatever leaves the call early, an exception included: the engine does not go on for nobody.
struct CancelAtExit {
  std::shared_ptr<TokenStream> stream;
  ~CancelAtExit() { stream->Cancel(FinishReason::kCancelled); }
};

absl::Status Answer(const Deployment& deployment, const v1::GenerateRequest& proto, const Call& call,
                    uint64_t id, GenerateSink& sink, RequestLogLine& line) {
  MemoryCharge charge(*deployment.request_memory);  // until the engine has let go of it
  GH_ASSIGN_OR_RETURN(const Prepared prepared, Prepare(deployment, proto, call, id, charge));
  line.prompt_tokens = static_cast<int64_t>(prepared.request->prompt.size());
  if (prepared.request->adapters != nullptr) line.adapters = AdapterText(*prepared.request->adapters);
  if (deployment.log_prompts) line.prompt = prepared.prompt_text;
  GH_RETURN_IF_ERROR(deployment.engine->Submit(prepared.request));
  const CancelAtExit guard{prepared.request->stream};
  // A client that is gone already shows in StreamAnswer's first look.
  sink.Write(StartMessage(*prepared.request));
  const AnswerSummary summary = StreamAnswer(deployment, prepared.validated, *prepared.request, call, sink);
  line.summary = summary;
  return summary.status;
}

// What a cancelled request is told when it was the shutdown that cancelled it.
absl::Status AtShutdown(const ServerState& state, absl::Status status, bool client_gone) {
  const bool cancelled = absl::IsCancelled(status) || absl::IsUnavailable(status);
  if (client_gone || !cancelled || state.phase() != ServerState::Phase::kDraining) return status;
  return WithRetry(absl::UnavailableError("the server shut down before the answer was complete"),
                   absl::Seconds(1));
}

}  // namespace

absl::Status GenerateCalls::Run(const v1::GenerateRequest& request, Call& client, GenerateSink& sink) {
  CallUntilCutOff call(client, state_);
  RequestLogLine line;
  line.id = next_id_.fetch_add(1);
  line.task = request.task();
  line.peer = call.peer();
  const absl::Time begin = absl::Now();
  bool log = true;
  absl::Status status = Guarded([&]() -> absl::Status {
    // In this order: whom a drain does not refuse it sees among the open ones.
    GH_ASSIGN_OR_RETURN(const auto ticket, streams_.Enter(call));
    GH_ASSIGN_OR_RETURN(const auto deployment, state_.ForRequest());
    log = deployment->log_requests;
    WatchedSink watched(sink, *ticket);
    return Answer(*deployment, request, call, line.id, watched, line);
  });
  status = AtShutdown(state_, std::move(status), client.cancelled());
  line.status = status;
  line.total = absl::Now() - begin;
  if (log) LogRequest(line);
  return status;
}

}  // namespace guildhall
