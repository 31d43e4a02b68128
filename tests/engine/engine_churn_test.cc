// Many requests at once, too little of everything: the answers must be those of each request alone.
#include <catch2/catch.hpp>
#include <deque>
#include <random>
#include <string>

#include "absl/time/clock.h"
#include "base/check.h"
#include "engine/engine.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

struct Setting {
  const char* name;
  int64_t kv_blocks;
  int64_t max_outputs;
  int max_running;
  int token_budget;
  int prefill_chunk;
  bool prefix_cache;
  bool expect_preemption;
};

const Setting kSettings[] = {
    {"plenty", 256, 64, 16, 256, 128, true, false},
    {"few blocks", 14, 64, 12, 64, 32, true, true},
    {"few blocks, no cache", 14, 64, 12, 64, 32, false, true},
    {"few blocks, chunks of one row", 14, 64, 12, 16, 1, true, true},
    {"one logit row", 64, 1, 12, 64, 24, true, false},
    {"rows for few", 64, 5, 12, 4, 3, true, false},
    {"one at a time", 12, 64, 1, 7, 5, true, false},
};

struct Asked {
  std::shared_ptr<Request> request;
  std::vector<int32_t> solo = {};
  size_t cancel_after = SIZE_MAX;  // tokens
  bool may_be_late = false;
};

class Churn {
 public:
  // `memory`: of the model, see FakeLogits.
  Churn(uint32_t seed, int64_t memory) : random_(seed), memory_(memory) {}

  int Below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }

  // Prompts share beginnings, so that the prefix cache has something to find. The first token is the task.
  Asked Next() {
    const int task = Below(3);
    std::vector<int32_t> prompt = {task};
    const int family = Below(4);
    const int length = Below(90);
    for (int i = 1; i < length; ++i) prompt.push_back(i < 40 ? (family * 17 + i * 5) % 61 : Below(61));
    SamplingParams params = Below(2) == 0 ? Greedy(1 + Below(50)) : Seeded(1 + Below(50), random_());
    if (Below(4) == 0) params.stop_tokens = {Below(61)};
    if (Below(4) == 0) params.repetition_penalty = 1.3f;
    if (Below(4) == 0) params.top_k = 1 + Below(20);
    if (Below(4) == 0) params.frequency_penalty = 0.5f;
    if (Below(8) == 0) params.prompt_logprobs = true;
    const size_t capacity = Below(3) == 0 ? 1 + static_cast<size_t>(Below(4)) : 64;
    Asked asked{.request = MakeRequest(prompt, params, std::to_string(task), capacity)};
    // Two versions for each task, and the base.
    if (const int version = Below(3); version > 0) {
      asked.request->adapters = sets_[static_cast<size_t>(2 * task + version - 1)];
    }
    if (Below(8) == 0) asked.request->cache_salt = "tenant";
    if (Below(2) == 0) {
      asked.request->speculation = {
          .max_draft_tokens = 1 + Below(8), .min_ngram = 1 + Below(2), .max_ngram = 2 + Below(3)};
    }
    asked.solo = SoloTokens(*asked.request, 61, {}, {}, memory_);
    if (Below(6) == 0) asked.cancel_after = static_cast<size_t>(Below(20));
    if (Below(10) == 0) {
      asked.may_be_late = true;
      asked.request->deadline = absl::Now() + absl::Microseconds(Below(3000));
    }
    return asked;
  }

 private:
  std::mt19937 random_;
  const int64_t memory_;
  std::vector<std::shared_ptr<const AdapterSet>> sets_ = {MakeSet(1), MakeSet(2), MakeSet(3),
                                                          MakeSet(4), MakeSet(5), MakeSet(6)};
};

// Reads to the end, cancelling where it was planned; the tokens are the solo run's, or a beginning of them.
void CheckAnswer(const Asked& asked) {
  TokenStream& stream = *asked.request->stream;
  if (asked.cancel_after == 0) stream.Cancel(FinishReason::kCancelled);
  std::vector<int32_t> tokens;
  RequestEnd end;
  while (true) {
    auto event = stream.Pop(absl::Now() + absl::Minutes(1));
    GH_CHECK(event.has_value());
    if (auto* last = std::get_if<RequestEnd>(&*event)) {
      end = *last;
      break;
    }
    tokens.push_back(std::get<TokenEvent>(*event).token);
    if (tokens.size() == asked.cancel_after) stream.Cancel(FinishReason::kCancelled);
  }
  CHECK_FALSE(stream.Pop(absl::InfiniteFuture()).has_value());
  if (end.stop_token >= 0) tokens.push_back(end.stop_token);
  INFO("reason " << static_cast<int>(end.reason) << ": " << end.status.ToString());
  if (end.reason == FinishReason::kCancelled || end.reason == FinishReason::kDeadline) {
    CHECK((asked.cancel_after != SIZE_MAX || asked.may_be_late));
    REQUIRE(tokens.size() <= asked.solo.size());
    CHECK(tokens == std::vector<int32_t>(asked.solo.begin(),
                                         asked.solo.begin() + static_cast<std::ptrdiff_t>(tokens.size())));
  } else {
    CHECK(end.status.ok());
    CHECK(tokens == asked.solo);
    CHECK(end.usage.output_tokens == static_cast<int32_t>(asked.solo.size()));
    if (asked.request->sampling.prompt_logprobs) {
      CHECK(stream.TakePromptLogprobs().size() == asked.request->prompt.size() - 1);
    }
  }
}

TEST_CASE("Under churn every request's tokens equal its solo run and no block is lost") {
  const Setting setting = GENERATE(from_range(std::begin(kSettings), std::end(kSettings)));
  const uint32_t seed = GENERATE(1u, 2u);
  const int64_t memory = seed == 1 ? 0 : 2;  // texts that repeat themselves: drafts are right
  INFO(setting.name << ", seed " << seed);
  FakeModel model({.max_positions = 160,
                   .max_outputs = setting.max_outputs,
                   .kv_blocks = setting.kv_blocks,
                   .memory = memory,
                   .first_token_is_task = true});
  EngineOptions options;
  options.max_queued = 24;
  options.max_running = setting.max_running;
  options.token_budget = setting.token_budget;
  options.prefill_chunk = setting.prefill_chunk;
  options.prefix_cache = setting.prefix_cache;
  // Whatever decides when rows are computed decides nothing else.
  options.co_batching_patience = seed == 2 ? 3 : 0;
  options.step_bound = seed == 2 ? StepCost::Mode::kAuto : StepCost::Mode::kUnbounded;
  Engine engine(model, options,
                {{.id = "0", .weight = 1.0},
                 {.id = "1", .weight = 3.0, .max_running = std::max(1, setting.max_running / 2)},
                 {.id = "2", .weight = 0.2}});
  engine.Start();

  Churn churn(seed, memory);
  std::deque<Asked> open;
  for (int i = 0; i < 300; ++i) {
    Asked asked = churn.Next();
    while (true) {
      const absl::Status status = engine.Submit(asked.request);
      if (status.ok()) break;
      REQUIRE(status.code() == absl::StatusCode::kResourceExhausted);
      // Any of the open ones, so that some are read late.
      const auto at = open.begin() + churn.Below(static_cast<int>(open.size()));
      CheckAnswer(*at);
      open.erase(at);
    }
    open.push_back(std::move(asked));
  }
  for (const Asked& asked : open) CheckAnswer(asked);

  const EngineStatus status = engine.Status();
  for (const EngineStatus::Task& task : status.tasks) CHECK(task.queued + task.running == 0);
  CHECK(status.kv_blocks_free == setting.kv_blocks);
  if (setting.expect_preemption) CHECK(status.preemptions > 0);
  CHECK(model.most_rows() <= setting.token_budget);
  if (setting.max_running > 1) CHECK(model.most_sets() > 2);
  uint64_t accepted = 0;
  for (const EngineStatus::Task& task : status.tasks) {
    CHECK(task.accepted_tokens <= task.drafted_tokens);
    accepted += task.accepted_tokens;
  }
  // Rows, places in the chunk or logit rows for drafts are there but where the setting has none.
  const bool can_draft = setting.prefill_chunk > 1 && setting.max_outputs > 1;
  if (!can_draft) CHECK(accepted == 0);
  // Where more run than a step has rows, it is the threads' luck whether any were ever left for drafts.
  const bool rows_left = setting.token_budget > setting.max_running;
  if (memory > 0 && can_draft && rows_left) CHECK(accepted > 0);
}

}  // namespace
}  // namespace guildhall
