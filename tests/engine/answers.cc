#include "tests/engine/answers.h"

#include <thread>
#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "base/check.h"
#include "engine/sampler.h"
#include "engine/stop_rule.h"
#include "tests/engine/fake_model.h"

namespace guildhall {

std::shared_ptr<Request> MakeRequest(std::vector<int32_t> prompt, SamplingParams sampling, std::string task,
                                     size_t stream_capacity) {
  auto request = std::make_shared<Request>();
  request->prompt = std::move(prompt);
  request->sampling = std::move(sampling);
  request->task = std::move(task);
  request->stream = std::make_shared<TokenStream>(stream_capacity);
  return request;
}

std::shared_ptr<const AdapterSet> MakeSet(uint64_t id) {
  auto set = std::make_shared<AdapterSet>();
  set->id = id;
  return set;
}

SamplingParams Greedy(int32_t max_tokens) {
  SamplingParams params;
  params.temperature = 0.0f;
  params.max_tokens = max_tokens;
  return params;
}

SamplingParams Seeded(int32_t max_tokens, uint64_t seed) {
  SamplingParams params;
  params.temperature = 1.5f;
  params.seed = seed;
  params.max_tokens = max_tokens;
  return params;
}

Answer Collect(TokenStream& stream) {
  Answer answer;
  while (true) {
    std::optional<TokenStream::Event> event = stream.Pop(absl::Now() + absl::Minutes(1));
    GH_CHECK(event.has_value());
    if (auto* end = std::get_if<RequestEnd>(&*event)) {
      answer.end = std::move(*end);
      GH_CHECK(!stream.Pop(absl::InfiniteFuture()).has_value());
      return answer;
    }
    TokenEvent& token = std::get<TokenEvent>(*event);
    answer.tokens.push_back(token.token);
    if (token.has_logprob) answer.logprobs.push_back(std::move(token.logprob));
  }
}

std::vector<int32_t> SoloTokens(const Request& request, int64_t vocabulary, std::vector<int32_t> eos,
                                std::optional<uint64_t> set_number, int64_t memory) {
  Sampler sampler(vocabulary);
  const uint64_t set = set_number.value_or(request.adapters == nullptr ? 0 : request.adapters->id);
  const StopRule stop(request.sampling, eos, int64_t{1} << 30);
  std::vector<int32_t> tokens = request.prompt;
  std::vector<int32_t> output;
  while (static_cast<int32_t>(output.size()) < request.sampling.max_tokens) {
    const auto token =
        sampler.Sample(FakeLogits(tokens, vocabulary, set, memory), request.sampling, request.prompt, output,
                       stop.Masked(static_cast<int64_t>(output.size())));
    GH_CHECK(token.ok());
    tokens.push_back(*token);
    output.push_back(*token);
    if (stop.Ends(*token)) break;
  }
  return output;
}

std::vector<TaskPolicy> BaseTask() {
  return {{.id = "", .weight = 1.0, .max_queued = 1 << 20, .max_running = 1 << 20}};
}

EngineOptions SmallOptions() {
  EngineOptions options;
  options.max_queued = 1 << 20;
  options.max_running = 8;
  options.token_budget = 64;
  options.prefill_chunk = 32;
  return options;
}

void AwaitIdle(const Engine& engine) {
  while (true) {
    int busy = 0;
    for (const EngineStatus::Task& task : engine.Status().tasks) busy += task.queued + task.running;
    if (busy == 0) return;
    std::this_thread::yield();
  }
}

}  // namespace guildhall
