// The softmax of a tile of queries: each query is eight neighbouring threads'.
#pragma once

#include "kernels/cuda/attention_walk.cuh"
#include "kernels/cuda/math.h"

namespace guildhall::cuda {

// e^(from - to), where both may be minus infinity: nothing has been seen.
__device__ inline float FactorOf(float from, float to) {
  return from == to ? 1.0f : Exp(from - to);
}

// kTiles times 16 queries. A NaN is never the greatest score, but makes the sum one.
template <int kTiles>
class Softmax {
 public:
  __device__ Softmax() {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      most_[i] = all_most_[i] = Nothing();
      sum_[i] = all_sum_[i] = 0.0f;
    }
  }

  // Scores of a tile of keys that begins at `token` become weights, of tiles 0 .. tiles - 1 of the queries.
  template <typename Products>
  __device__ void Weigh(int tiles, int token, float scale, QueryNote* notes, Products& products) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      if (i < tiles) WeighOne(i, token, scale, notes[i * kQueryRows + Query()], products);
    }
  }

  // A split ends: how it goes with the splits before.
  __device__ void Merge(int tiles, QueryNote* notes) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      if (i >= tiles) continue;
      const float most = fmaxf(all_most_[i], most_[i]);
      const float keep = FactorOf(all_most_[i], most), take = FactorOf(most_[i], most);
      all_most_[i] = most;
      all_sum_[i] = __fmaf_rn(sum_[i], take, all_sum_[i] * keep);
      most_[i] = Nothing();
      sum_[i] = 0.0f;
      if (Lane() != 0) continue;
      QueryNote& note = notes[i * kQueryRows + Query()];
      note.keep = keep;
      note.take = take;
      note.inverse = __fdiv_rn(1.0f, all_sum_[i]);
    }
  }

 private:
  static constexpr int kLanes = 8;  // of a query; each has 4 keys of each half of the tile
  static constexpr unsigned kAllLanes = 0xffffffffu;
  __device__ static float Nothing() {
    return __uint_as_float(0xff800000u);
  }
  __device__ static int Query() {
    return static_cast<int>(threadIdx.x) / kLanes;
  }
  __device__ static int Lane() {
    return static_cast<int>(threadIdx.x) % kLanes;
  }

  template <typename Products>
  __device__ void WeighOne(int i, int token, float scale, QueryNote& note, Products& products) {
    const int query = i * kQueryRows + Query();
    const int first = note.first - token, last = note.last - token;
    float score[2][4];
    float most = most_[i];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int key = half * kTileTokens / 2 + Lane() * 4;
      const float4 raw = *reinterpret_cast<const float4*>(products.scores() + query * kScoreStride + key);
      const float scores[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const bool seen = key + k >= first && key + k <= last;
        score[half][k] = scores[k] * scale;
        if (seen) most = fmaxf(most, score[half][k]);
      }
    }
#pragma unroll
    for (int step = 1; step < kLanes; step *= 2) most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, step));
    float sum = 0.0f;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int key = half * kTileTokens / 2 + Lane() * 4;
      float weight[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const bool seen = key + k >= first && key + k <= last;
        const float exact = seen ? Exp(score[half][k] - most) : 0.0f;
        sum += exact;
        weight[k] = seen ? exact * products.ValueScale(key + k) : 0.0f;
      }
      products.PutWeights(query, key, weight);
    }
#pragma unroll
    for (int step = 1; step < kLanes; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    const float factor = FactorOf(most_[i], most);
    most_[i] = most;
    sum_[i] = __fmaf_rn(sum_[i], factor, sum);
    if (Lane() == 0) note.factor = factor;
  }

  // Each of a query's threads has the same.
  float most_[kTiles], sum_[kTiles];          // of the running split
  float all_most_[kTiles], all_sum_[kTiles];  // of the splits before
};

}  // namespace guildhall::cuda
