// The step's length under control: against cost curves that are known, and in an engine whose clock is the
// test's.
#include "engine/step_cost.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <random>

#include "engine/engine.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

// Seconds of a step on a machine that the test makes up.
struct Machine {
  double fixed = 4e-3;
  double per_decode_row = 0.2e-3;
  double waking_experts = 20e-3;  // what many prompt rows pay together
  double per_prompt_row = 0.1e-3;
  double slowness = 1.0;

  double Seconds(int64_t decode_rows, int64_t prompt_rows) const {
    const auto d = static_cast<double>(decode_rows);
    const auto p = static_cast<double>(prompt_rows);
    return slowness *
           (fixed + per_decode_row * d + waking_experts * (1.0 - std::exp(-p / 30.0)) + per_prompt_row * p);
  }
  // The most prompt rows whose step stays within `target`.
  int64_t Best(int64_t decode_rows, double target, int64_t max_rows) const {
    int64_t rows = 0;
    while (rows < max_rows && Seconds(decode_rows, rows + 1) <= target) ++rows;
    return rows;
  }
};

StepCost Make(StepCost::Mode mode, double target = 0.0) {
  return StepCost({.mode = mode, .target_seconds = target, .max_rows = 512});
}

// Steps with prompts without end; returns the rows of the last.
int64_t Run(
    StepCost& cost, const Machine& machine, int64_t decode_rows, int steps,
    const std::function<double()>& noise = [] { return 1.0; }) {
  int64_t rows = 0;
  for (int i = 0; i < steps; ++i) {
    rows = cost.PromptRows(decode_rows);
    REQUIRE(rows >= StepCost::kLeastRows);
    REQUIRE(rows <= 512);
    cost.Observe(decode_rows, rows, machine.Seconds(decode_rows, rows) * noise());
  }
  return rows;
}

void LearnDecoding(StepCost& cost, const Machine& machine, int64_t decode_rows) {
  for (int i = 0; i < 20; ++i) cost.Observe(decode_rows, 0, machine.Seconds(decode_rows, 0));
}

TEST_CASE("The target is reached from below and kept, with nearly as many rows as fit") {
  const int64_t decode_rows = GENERATE(1, 7, 40);
  const double target = GENERATE(0.030, 0.045, 0.060);
  const bool decoding_known = GENERATE(false, true);
  const Machine machine;
  StepCost cost = Make(StepCost::Mode::kTarget, target);
  if (decoding_known) LearnDecoding(cost, machine, decode_rows);
  for (int i = 0; i < 60; ++i) {
    const int64_t rows = Run(cost, machine, decode_rows, 1);
    // Twice of what was tried may be too much once; what was measured is not done again.
    if (i >= 12) CHECK(machine.Seconds(decode_rows, rows) <= 1.1 * target);
  }
  const int64_t best = machine.Best(decode_rows, target, 512);
  CAPTURE(decode_rows, target, best);
  CHECK(Run(cost, machine, decode_rows, 1) >= std::max<int64_t>(StepCost::kLeastRows, best * 7 / 10));
}

TEST_CASE("A slower machine gets fewer rows within a few steps, a faster one more") {
  const double target = 0.050;
  Machine machine;
  StepCost cost = Make(StepCost::Mode::kTarget, target);
  LearnDecoding(cost, machine, 8);
  Run(cost, machine, 8, 50);
  machine.slowness = 1.8;
  // What was measured of fewer rows before is a little too good now.
  int64_t rows = Run(cost, machine, 8, 25);
  CHECK(machine.Seconds(8, rows) <= 1.25 * target);
  machine.slowness = 0.5;
  rows = Run(cost, machine, 8, 100);
  CHECK(machine.Seconds(8, rows) <= 1.15 * target);
  CHECK(rows >= machine.Best(8, target, 512) * 7 / 10);
}

TEST_CASE("Noise and bursts of others do not throw the estimate off") {
  std::mt19937 random(3);
  const Machine machine;
  StepCost cost = Make(StepCost::Mode::kTarget, 0.050);
  LearnDecoding(cost, machine, 4);
  const auto noise = [&] {
    const double jitter = 0.8 + 0.4 * static_cast<double>(random() % 1000) / 1000.0;
    return random() % 50 == 0 ? 8.0 : jitter;
  };
  Run(cost, machine, 4, 100, noise);
  double sum = 0.0, rows = 0.0;
  for (int i = 0; i < 300; ++i) {
    const int64_t now = Run(cost, machine, 4, 1, noise);
    sum += machine.Seconds(4, now);
    rows += static_cast<double>(now);
  }
  CHECK(sum / 300 <= 1.1 * 0.050);
  CHECK(rows / 300 >= 0.5 * static_cast<double>(machine.Best(4, 0.050, 512)));
}

TEST_CASE("Prompts get on even where decoding alone takes longer than the target") {
  const Machine machine{.fixed = 1.0};
  StepCost cost = Make(StepCost::Mode::kTarget, 0.001);
  LearnDecoding(cost, machine, 3);
  CHECK(Run(cost, machine, 3, 50) == StepCost::kLeastRows);
}

TEST_CASE("Where nobody decodes, or nothing bounds the step, all rows are for prompts") {
  CHECK(Make(StepCost::Mode::kTarget, 1e-6).PromptRows(0) == 512);
  CHECK(Make(StepCost::Mode::kAuto).PromptRows(0) == 512);
  StepCost free = Make(StepCost::Mode::kUnbounded);
  free.Observe(4, 100, 10.0);
  CHECK(free.PromptRows(4) == 512);
  // A narrow model: the least cannot be more than a step has.
  const StepCost narrow({.mode = StepCost::Mode::kTarget, .target_seconds = 1.0, .max_rows = 8});
  CHECK(narrow.PromptRows(1) == 8);
}

TEST_CASE("Auto takes the fewest rows with which prompts go nearly at their best rate") {
  const int64_t decode_rows = GENERATE(1, 16, 64);
  const Machine machine{.per_prompt_row = 0.3e-3};
  StepCost cost = Make(StepCost::Mode::kAuto);
  LearnDecoding(cost, machine, decode_rows);
  Run(cost, machine, decode_rows, 100);
  double best = 0.0;
  for (int64_t rows = 16; rows <= 512; rows *= 2) {
    best = std::max(best, static_cast<double>(rows) / machine.Seconds(decode_rows, rows));
  }
  double seconds = 0.0, rows = 0.0;
  for (int i = 0; i < 640; ++i) {
    const int64_t now = Run(cost, machine, decode_rows, 1);
    rows += static_cast<double>(now);
    seconds += machine.Seconds(decode_rows, now);
  }
  CAPTURE(decode_rows, rows / 640, best);
  CHECK(rows / seconds >= 0.75 * best);
  CHECK(rows / 640 <= 300);  // half of the rows do for that
}

TEST_CASE("Auto bounds nothing where steps are too short for anybody to notice, whatever noise says") {
  const uint32_t seed = GENERATE(1u, 2u, 3u, 4u, 5u);
  std::mt19937 random(seed);
  const Machine machine{
      .fixed = 0.3e-3, .per_decode_row = 5e-6, .waking_experts = 0.0, .per_prompt_row = 2e-6};
  StepCost cost = Make(StepCost::Mode::kAuto);
  int steps = 0;
  // The first tries of each size are unlucky: a burst of others takes several times the step.
  const auto noise = [&] {
    const auto share = static_cast<double>(random() % 1000) / 1000.0;
    return ++steps > 1 && steps < 8 ? 3.0 + 4.0 * share : 0.7 + 0.6 * share;
  };
  Run(cost, machine, 4, 12, noise);
  for (int i = 0; i < 200; ++i) CHECK(Run(cost, machine, 4, 1, noise) == 512);
}

TEST_CASE("Auto finds out when larger steps have become worth it") {
  Machine machine{.waking_experts = 0.0, .per_prompt_row = 1e-3};  // each row costs the same: small steps do
  StepCost cost = Make(StepCost::Mode::kAuto);
  LearnDecoding(cost, machine, 1);
  Run(cost, machine, 1, 300);
  CHECK(Run(cost, machine, 1, 1) <= 64);
  machine = {.waking_experts = 0.2, .per_prompt_row = 0.05e-3};  // now they share what is dear
  Run(cost, machine, 1, 1500);
  CHECK(cost.PromptRows(1) >= 256);
}

TEST_CASE("Estimates follow what was measured, and lie between it") {
  StepCost cost = Make(StepCost::Mode::kUnbounded);
  CHECK(cost.DecodeSeconds(4) == 0.0);
  for (int i = 0; i < 30; ++i) {
    cost.Observe(4, 0, 0.010);
    cost.Observe(16, 0, 0.020);
    cost.Observe(4, 64, 0.030);
    cost.Observe(4, 256, 0.070);
  }
  CHECK(cost.DecodeSeconds(4) == Approx(0.010));
  CHECK(cost.DecodeSeconds(10) == Approx(0.015));
  CHECK(cost.DecodeSeconds(100) == Approx(0.020));
  CHECK(cost.DecodeSeconds(1) == Approx(0.0025));
  CHECK(cost.ExtraSeconds(64) == Approx(0.020));
  CHECK(cost.ExtraSeconds(160) == Approx(0.040));
  CHECK(cost.ExtraSeconds(512) == Approx(0.120));
  CHECK(cost.ExtraSeconds(1) == Approx(0.020));
}

// The model's time is the test's clock: 1 ms and 0.1 ms for each row.
TEST_CASE("An engine keeps the steps of decoding sequences within the target while prompts stream in") {
  const bool bounded = GENERATE(false, true);
  std::atomic<int64_t> now_ns{0};
  int64_t longest = 0, steps = 0;
  FakeModel model({.kv_blocks = 512, .on_batch = [&](const Batch& batch) {
                     // Single rows decode, or end a prompt.
                     bool decodes = false;
                     for (size_t i = 0; i < batch.sequence.size(); ++i) {
                       const bool first = i == 0 || batch.sequence[i - 1] != batch.sequence[i];
                       const bool last =
                           i + 1 == batch.sequence.size() || batch.sequence[i + 1] != batch.sequence[i];
                       decodes = decodes || (first && last);
                     }
                     const int64_t cost = 1'000'000 + 100'000 * batch.rows();
                     now_ns += cost;
                     if (decodes && ++steps > 20) longest = std::max(longest, cost);
                   }});
  EngineOptions options = SmallOptions();
  options.token_budget = 256;
  options.prefill_chunk = 256;
  options.max_running = 16;
  options.clock_ns = [&] { return now_ns.load(); };
  if (bounded) {
    options.step_bound = StepCost::Mode::kTarget;
    options.target_step = absl::Milliseconds(6);
  }
  Engine engine(model, options, BaseTask());
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 60; ++i) {
    std::vector<int32_t> prompt;
    for (int p = 0; p < 20 + (i * 37) % 200; ++p) prompt.push_back((i * 13 + p * 7) % 61);
    requests.push_back(MakeRequest(prompt, Greedy(1 + (i * 11) % 40)));
    REQUIRE(engine.Submit(requests.back()).ok());
  }
  engine.Start();
  for (const auto& request : requests) CHECK(Collect(*request->stream).tokens == SoloTokens(*request, 61));
  engine.Stop();
  CAPTURE(bounded, longest);
  if (bounded) CHECK(longest <= 7'000'000);
  if (!bounded) CHECK(longest > 15'000'000);
  if (bounded) CHECK(engine.Status().prompt_rows >= StepCost::kLeastRows);
}

}  // namespace
}  // namespace guildhall
