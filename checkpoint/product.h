// The products of a layer that low-rank changes can touch.
#pragma once

namespace guildhall {

enum class Product {
  kQkv,       // grouped-query q, k, v (clip_qkv: q, k); latent q or q_a, kv_a
  kVClipped,  // clip_qkv: v alone
  kQB,        // latent q_b
  kO,
  kSharedScore,  // the gate of the shared experts
  // Latent attention's kv_b, absorbed: of each head.
  kKUp,
  kVUp,
  // Feed-forward networks; of the routed ones: of each logical expert.
  kExpertGateUp,
  kExpertDown,
  kSharedGateUp,
  kSharedDown,
  kDenseGateUp,
  kDenseDown,
};
inline constexpr int kStackedProducts = 5;  // those that stack weights by rows, up to kSharedScore
inline constexpr int kProducts = 13;

}  // namespace guildhall
