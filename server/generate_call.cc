#include "server/generate_call.h"

#include <algorithm>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "engine/token_stream.h"
#include "server/error_details.h"
#include "server/generation.h"
#include "server/guarded.h"
#include "server/prompt_builder.h"
#include "server/request_memory.h"
#include "server/task_text.h"
#include "server/validate.h"

namespace guildhall {
namespace {

// At least two, so that one long text does not hold up all others.
int NumAnswerThreads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 4, 2, 8);
}

// A call whose stream is over is over.
class CallOfStream final : public Call {
 public:
  CallOfStream(Call& call, const OpenStreams::Ticket& ticket) : call_(call), ticket_(ticket) {}

  absl::Time deadline() const override { return call_.deadline(); }
  bool cancelled() const override { return ticket_.over(); }
  void Cancel() override { call_.Cancel(); }
  void OnCancelled(std::function<void()> listener) override { call_.OnCancelled(std::move(listener)); }
  std::string peer() const override { return call_.peer(); }
  std::optional<std::string> authorization() const override { return call_.authorization(); }

 private:
  Call& call_;
  const OpenStreams::Ticket& ticket_;
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

struct Asked {
  const v1::GenerateRequest& proto;
  const Call& call;
  uint64_t id;
  std::optional<int64_t> length;
  std::shared_ptr<const Task> task;
  absl::Time begin;
};

// All but the request's adapters. `adapter`: the text side of the task's only one; null: the base's serves.
absl::Status PrepareBy(const AdapterText* adapter, const Asked& asked, PreparedRequest& prepared) {
  const Deployment& deployment = *prepared.deployment;
  MemoryCharge& charge = prepared.charge;
  ValidatedRequest& validated = prepared.validated;
  GH_ASSIGN_OR_RETURN(validated,
                      ValidateGenerate(asked.proto, asked.task, deployment.limits, DrawSeed(), adapter));
  if (asked.length && !validated.max_tokens_said) {
    const int64_t most = std::min(*asked.length, deployment.limits.max_output_tokens);
    validated.sampling.max_tokens = std::max(static_cast<int32_t>(most), validated.sampling.min_tokens);
  }
  const TextAssets& text = ServingText(deployment.text, adapter);
  validated.tokenizer = text.tokenizer;
  if (text.tokenizer == nullptr && !validated.stop.empty()) {
    return PreconditionError("TOKENIZER", "model",
                             "sampling.stop: the model folder has no tokenizer, so there is no text "
                             "to look for stop strings in; use stop_token_ids");
  }
  if (text.tokenizer != nullptr) {
    TakeSpecialStops(*text.tokenizer, deployment.limits.vocabulary, validated);
  }
  const WorkLimit work{std::min(asked.call.deadline(), asked.begin + validated.time_limit),
                       [&asked] { return asked.call.cancelled(); }};
  const uint64_t text_work = TextWorkBytes(asked.proto);
  GH_RETURN_IF_ERROR(charge.Add(text_work));
  GH_ASSIGN_OR_RETURN(
      BuiltPrompt prompt,
      BuildPrompt(*validated.task, validated.input, {text, deployment.limits, *deployment.text_gate, work}));
  validated.input = std::string();  // not needed any more; a long prompt would be kept twice
  charge.Remove(text_work);
  GH_RETURN_IF_ERROR(FitLength(deployment.limits, static_cast<int64_t>(prompt.ids.size()), validated));
  prepared.request = std::make_shared<Request>();
  Request& request = *prepared.request;
  request.id = asked.id;
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
  return absl::OkStatus();
}

absl::StatusOr<PreparedRequest> Prepare(std::shared_ptr<const Deployment> to,
                                        const v1::GenerateRequest& proto, const Call& call, uint64_t id,
                                        std::optional<int64_t> length) {
  PreparedRequest prepared(std::move(to));
  const Deployment& deployment = *prepared.deployment;
  GH_RETURN_IF_ERROR(prepared.charge.Add(MessageBytes(proto)));
  const uint64_t before = prepared.charge.bytes();
  Asked asked{proto, call, id, length, nullptr, absl::Now()};
  GH_ASSIGN_OR_RETURN(asked.task, deployment.tasks->Find(proto.task()));
  const auto text = deployment.adapters->Text(asked.task->adapters);
  GH_RETURN_IF_ERROR(PrepareBy(text.get(), asked, prepared));
  // Last, because it may wait: whatever else is wrong is told at once.
  GH_ASSIGN_OR_RETURN(auto adapters,
                      deployment.adapters->Acquire(asked.task->adapters, prepared.request->deadline,
                                                   [&] { return call.cancelled(); }));
  // Weights go with the text of their own version, which may have come meanwhile.
  if (const auto own = AdapterCatalog::Text(adapters.get()); own != text) {
    prepared.charge.Remove(prepared.charge.bytes() - before);
    GH_RETURN_IF_ERROR(PrepareBy(own.get(), asked, prepared));
  }
  prepared.request->adapters = std::move(adapters);
  return prepared;
}

}  // namespace

GenerateCalls::GenerateCalls(const ServerState& state, OpenStreams& streams)
    : state_(state), streams_(streams), threads_(NumAnswerThreads()) {}

void GenerateCalls::Start(const v1::GenerateRequest& request, Call& client,
                          std::unique_ptr<GenerateSink> sink, std::optional<int64_t> length) {
  const auto generation = std::make_shared<Generation>(state_, threads_, client, std::move(sink),
                                                       next_id_.fetch_add(1), request.task());
  absl::Status started = Guarded([&]() -> absl::Status {
    // In this order: whom a drain does not refuse it sees among the open ones.
    GH_ASSIGN_OR_RETURN(auto ticket, streams_.Enter(client));
    GH_ASSIGN_OR_RETURN(auto deployment, state_.ForRequest());
    generation->SetLogged(deployment->log_requests);
    const CallOfStream call(client, *ticket);
    GH_ASSIGN_OR_RETURN(PreparedRequest prepared,
                        Prepare(std::move(deployment), request, call, generation->id(), length));
    return generation->Start(std::move(ticket), std::move(prepared));
  });
  if (!started.ok()) generation->End(std::move(started));
}

}  // namespace guildhall
