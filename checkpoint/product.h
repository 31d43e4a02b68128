// The products of a layer that low-rank changes can touch, beside the feed-forward networks and the heads of
// latent attention's kv_b.
#pragma once

namespace guildhall {

enum class Product {
  kQkv,       // grouped-query q, k, v (clip_qkv: q, k); latent q or q_a, kv_a
  kVClipped,  // clip_qkv: v alone
  kQB,        // latent q_b
  kO,
  kSharedScore,  // the gate of the shared experts
};
inline constexpr int kProducts = 5;

}  // namespace guildhall
