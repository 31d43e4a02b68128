// What the engine's tests ask and what the right answer is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "engine/token_stream.h"

namespace guildhall {

struct Answer {
  std::vector<int32_t> tokens;
  std::vector<TokenLogprob> logprobs;
  RequestEnd end;
};

std::shared_ptr<Request> MakeRequest(std::vector<int32_t> prompt, SamplingParams sampling,
                                     std::string task = "", size_t stream_capacity = 1024);
// A set that only FakeModel can serve: a number.
std::shared_ptr<const AdapterSet> MakeSet(uint64_t id);
SamplingParams Greedy(int32_t max_tokens);
SamplingParams Seeded(int32_t max_tokens, uint64_t seed);

// Reads to the end. CHECKs that the end comes within a minute and that nothing follows it.
Answer Collect(TokenStream& stream);

// The tokens of the request and its adapters when it is alone, computed from FakeLogits without an engine:
// with the stop or end token that ended it, if one did.
// `set_number`: what FakeModel::Options has for the set, where it is not its id; `memory`: as there.
std::vector<int32_t> SoloTokens(const Request& request, int64_t vocabulary, std::vector<int32_t> eos = {},
                                std::optional<uint64_t> set_number = {}, int64_t memory = 0);

// One task, the base, and no limits that matter.
std::vector<TaskPolicy> BaseTask();
EngineOptions SmallOptions();

// Waits until nothing runs or waits.
void AwaitIdle(const Engine& engine);

}  // namespace guildhall
