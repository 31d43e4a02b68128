// What a tensor is for, independent of the names that each family gives it.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace guildhall {

enum class WeightRole {
  kEmbedding,
  kHead,
  kFinalNorm,
  kInputNorm,
  kPostAttentionNorm,
  // Grouped-query attention (and latent: kQ without q_lora_rank, kO).
  kQ,
  kK,
  kV,
  kO,
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kQNorm,
  kKNorm,
  // Latent attention.
  kQA,
  kQANorm,
  kQB,
  kKvA,
  kKvANorm,
  kKvB,
  kQABias,
  kKvABias,
  // Dense feed-forward.
  kGate,
  kUp,
  kDown,
  kGateBias,
  kUpBias,
  kDownBias,
  // Mixture of experts.
  kRouter,
  kRouterSelectionBias,
  kExpertGate,
  kExpertUp,
  kExpertDown,
  kSharedGate,
  kSharedUp,
  kSharedDown,
  kSharedScore,
  kSharedGateBias,
  kSharedUpBias,
  kSharedDownBias,
};

struct WeightKey {
  WeightRole role;
  int layer = -1;   // -1: not in a layer
  int expert = -1;  // -1: not an expert's

  auto operator<=>(const WeightKey&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 errs
};

}  // namespace guildhall
