// Scores token sequences: how probable the model finds them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "weights/adapter_set.h"

namespace guildhall {

struct ScoreSequence {
  std::vector<int32_t> tokens;
  std::shared_ptr<const AdapterSet> adapters;  // null: the base
};

struct ScoreResult {
  std::vector<float> logprobs;  // (tokens - 1): of token i + 1 after tokens 0 .. i
  double perplexity = 0.0;      // exp(-mean(logprobs)); NaN for a sequence of one token
};

// The logits that follow `position` of sequence `sequence`: each position of each sequence once, ascending
// within a sequence. Called on the engine thread; an error ends the scoring.
using LogitRowFunction =
    std::function<absl::Status(size_t sequence, int32_t position, std::span<const float> logits)>;

// All sequences go through the engine at once (as many as its queue takes at a time), as requests of the base
// task with the adapters that each brings. The engine has been started. An error names the sequence; then
// nothing is left running.
absl::StatusOr<std::vector<ScoreResult>> Score(Engine& engine, std::span<const ScoreSequence> sequences,
                                               const LogitRowFunction& on_row = {});

}  // namespace guildhall
