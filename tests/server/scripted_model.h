// A language model that says what a test tells it to say.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "model/language_model.h"

namespace guildhall {

// A sequence whose first token is T follows scripts[T]: after the token at position p comes script[p % size].
// So a prompt of one token id is answered by its script from the beginning. Sequences without a script follow
// `fallback`. The chosen token's logit is 10, all others' -0.001 * token.
class ScriptedModel final : public LanguageModel {
 public:
  struct Options {
    int64_t vocabulary = 2048;
    int64_t max_positions = 1024;
    int64_t kv_blocks = 256;
    std::map<int32_t, std::vector<int32_t>> scripts = {};
    std::vector<int32_t> fallback = {100};
    int32_t poison = -1;        // a row of this token gets logits that are not finite
    int32_t loses_device = -1;  // a step with this token, and every later one, ends with UNAVAILABLE
  };
  explicit ScriptedModel(Options options);

  // Launch waits while held.
  void Hold();
  void Release();

  int64_t vocabulary() const override { return options_.vocabulary; }
  int64_t max_positions() const override { return options_.max_positions; }
  int64_t max_rows() const override { return 512; }
  int64_t max_outputs() const override { return 64; }
  int64_t kv_blocks() const override { return options_.kv_blocks; }
  void Launch(const Batch& batch) override;
  absl::StatusOr<StepOutput> Await() override;

 private:
  const Options options_;
  std::vector<int32_t> slot_tokens_;  // (kv_blocks * block)
  std::vector<float> logits_;
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  bool lost_ = false;  // of the engine thread
};

}  // namespace guildhall
