#include "tests/server/scripted_model.h"

#include <limits>
#include <utility>

#include "kernels/ops.h"

namespace guildhall {

ScriptedModel::ScriptedModel(Options options)
    : options_(std::move(options)),
      slot_tokens_(static_cast<size_t>(options_.kv_blocks * kKvBlockTokens), -1) {}

void ScriptedModel::Hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void ScriptedModel::Release() {
  {
    const std::lock_guard lock(mutex_);
    held_ = false;
  }
  released_.notify_all();
}

absl::StatusOr<StepOutput> ScriptedModel::Await() {
  if (lost_) return absl::UnavailableError("the device is lost to this process: cudaErrorLaunchFailure");
  return StepOutput{.logits = logits_, .hidden = {}, .routes = {}};
}

void ScriptedModel::Launch(const Batch& batch) {
  {
    std::unique_lock lock(mutex_);
    released_.wait(lock, [this] { return !held_; });
  }
  for (size_t row = 0; row < batch.tokens.size(); ++row) {
    slot_tokens_[static_cast<size_t>(batch.kv_place[row])] = batch.tokens[row];
    lost_ = lost_ || batch.tokens[row] == options_.loses_device;
  }
  const auto vocabulary = static_cast<size_t>(options_.vocabulary);
  logits_.resize(batch.outputs.size() * vocabulary);
  for (size_t i = 0; i < batch.outputs.size(); ++i) {
    const auto row = static_cast<size_t>(batch.outputs[i].row);
    float* const out = &logits_[i * vocabulary];
    for (size_t token = 0; token < vocabulary; ++token) out[token] = -0.001f * static_cast<float>(token);
    const auto table = static_cast<size_t>(batch.sequence[row]) * static_cast<size_t>(batch.max_blocks);
    const int32_t first = slot_tokens_[static_cast<size_t>(batch.block_table[table]) * kKvBlockTokens];
    const auto found = options_.scripts.find(first);
    const std::vector<int32_t>& script = found == options_.scripts.end() ? options_.fallback : found->second;
    out[script[static_cast<size_t>(batch.positions[row]) % script.size()]] = 10.0f;
    if (batch.tokens[row] == options_.poison) out[0] = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace guildhall
