// The memory of a step: every buffer of the forward pass, allocated once.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "checkpoint/model_spec.h"
#include "kernels/backend.h"

namespace guildhall {

// Sizes of a step's rows that follow from a spec.
struct StepShape {
  int64_t max_rows = 0;
  int64_t max_outputs = 0;
  int64_t qkv_width = 0;        // stacked products of the normed input; queries (latent: or q_a) come first
  int64_t key_begin = 0;        // of keys in that row; latent: of kv_a's result
  int64_t value_begin = 0;      // grouped-query
  int64_t query_width = 0;      // latent: all heads' absorbed queries; also q before absorption
  int64_t attention_width = 0;  // what the output projection reads
  KvShape kv;

  static StepShape Of(const ModelSpec& spec, int64_t max_rows, int64_t max_outputs, KvFormat kv_format);
  StepLimits Limits(const ModelSpec& spec) const;
};

// Owns its memory; rows beyond those of the batch hold old values that nobody reads.
struct Activations {
  Buffer memory;
  float* residual = nullptr;    // (max_rows, hidden)
  float* normed = nullptr;      // (max_rows, hidden)
  float* qkv = nullptr;         // (max_rows, qkv_width)
  float* query = nullptr;       // (max_rows, query_width) latent: q_b's result
  float* absorbed = nullptr;    // (max_rows, heads, kv_lora_rank + rope) latent
  float* latent_key = nullptr;  // (max_rows, kv_lora_rank + rope) latent
  float* context = nullptr;     // (max_rows, heads, value_dim) what attention gives
  float* attended = nullptr;    // (max_rows, attention_width) latent: context through v_up
  float* cos = nullptr;         // (max_rows, rotary / 2)
  float* sin = nullptr;
  float* shared_weight = nullptr;  // (max_rows)
  int32_t* expert = nullptr;       // (max_rows, k)
  int32_t* slot = nullptr;         // (max_rows, k)
  float* weight = nullptr;         // (max_rows, k)
  int32_t* group_begin = nullptr;  // (experts + 1)
  int32_t* group_entry = nullptr;  // (max_rows * k)
  float* outputs = nullptr;        // (max_outputs, hidden)
  float* logits = nullptr;         // (max_outputs, vocabulary)

  static size_t Bytes(const ModelSpec& spec, const StepShape& shape);
  static absl::StatusOr<Activations> Allocate(const ModelSpec& spec, const StepShape& shape);
};

}  // namespace guildhall
