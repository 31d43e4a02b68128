// The base model's weights in the backend's layout.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/dtype.h"
#include "base/mapped_watch.h"
#include "checkpoint/model_spec.h"
#include "kernels/device_memory.h"
#include "kernels/matrix.h"

namespace guildhall {

// All pointers lie in DecoderWeights::memory. Vectors (norms, biases) are float.
struct LayerWeights {
  const float* input_norm = nullptr;           // (hidden)
  const float* post_attention_norm = nullptr;  // (hidden)

  // Products of the normed input, stacked: grouped-query q, k, v (with clip_qkv: q, k, and v apart); latent q
  // or q_a, kv_a.
  Matrix qkv;
  const float* qkv_bias = nullptr;  // (qkv.out) or null
  Matrix v_clipped;                 // clip_qkv only
  const float* v_clipped_bias = nullptr;
  const float* q_norm = nullptr;  // per head: (head_dim); full width: (heads * head_dim)
  const float* k_norm = nullptr;

  // Latent attention.
  const float* q_a_norm = nullptr;   // (q_lora_rank)
  const float* kv_a_norm = nullptr;  // (kv_lora_rank)
  Matrix q_b;                        // (heads * (nope + rope), q_lora_rank)
  HeadMatrices k_up;                 // (kv_lora_rank, nope): kv_b's key part, transposed
  HeadMatrices v_up;                 // (v_head_dim, kv_lora_rank)

  Matrix o;
  const float* o_bias = nullptr;  // (hidden) or null

  Matrix router;                          // (experts, hidden) F32; empty: a dense layer
  const float* selection_bias = nullptr;  // (experts) or null
  std::vector<FfnWeights> experts;        // slot -> weights: the base's slots
  FfnWeights shared;                      // empty: none
  Matrix shared_score;                    // (1, hidden) F32; empty: no gate
  FfnWeights dense;
};

// Owner of all packed weights. Immutable after load.
struct DecoderWeights {
  DeviceBuffer memory;
  std::unique_ptr<MappedWatch> watch;    // where they are read in a mapped file
  const std::byte* embedding = nullptr;  // (vocabulary, hidden) of embedding_dtype, row-major
  DType embedding_dtype = DType::kF32;
  const float* final_norm = nullptr;  // (hidden)
  Matrix head;                        // (vocabulary, hidden)
  std::vector<LayerWeights> layers;
};

}  // namespace guildhall
