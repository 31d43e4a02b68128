// Attention's products over a cache of f32: every sum is one chain of fused multiplications, in the order of
// the columns for a score and of the tokens for an output.
#pragma once

#include "kernels/cuda/attention_walk.cuh"

namespace guildhall::cuda {

// 16 queries; a thread has the columns threadIdx.x + 128 c of their outputs.
template <int kColumns>
class F32Products {
 public:
  static constexpr int kTiles = 1;
  static constexpr int kPanel = kAttentionThreads * kColumns;

  __device__ F32Products(const AttentionWork& work, const QueryTile& tile, std::byte* shared)
      : work_(work),
        tile_(tile),
        notes_(reinterpret_cast<QueryNote*>(shared + work.shared.notes)),
        queries_(reinterpret_cast<float*>(shared + work.shared.queries)),
        keys_(reinterpret_cast<float*>(shared + work.shared.keys)),
        scores_(reinterpret_cast<float*>(shared + work.shared.scores)) {
#pragma unroll
    for (int i = 0; i < kQueryRows; ++i) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) out_[i][c] = 0.0f;
    }
    const int columns = work.layout.key_columns;
    for (int i = static_cast<int>(threadIdx.x) / 32; i < tile.queries(); i += kAttentionThreads / 32) {
      const float* query = FindQuery(work, tile, i);
      for (int c = static_cast<int>(threadIdx.x) % 32; c < columns; c += 32) {
        queries_[i * columns + c] = QueryNumber(work.layout, query, c);
      }
    }
  }

  static int QueryStride(const KvLayout& layout) {
    return layout.key_columns;
  }
  static int KeyStride(const KvLayout&) {
    return kPanelStride;
  }
  __device__ int tiles() const {
    return 1;
  }
  __device__ float* scores() const {
    return scores_;
  }
  __device__ float ValueScale(int) const {
    return 1.0f;
  }
  __device__ void FetchKeys(int) {}
  __device__ void FetchValues(int) {}

  // Leaves the queries' raw scores of the 64 keys from `token` on in shared memory.
  __device__ void Score(int token) {
    const int key = static_cast<int>(threadIdx.x) % kTileTokens;
    const int first = static_cast<int>(threadIdx.x) / kTileTokens;
    float sum[kQueryRows / kHalves] = {};
    const int columns = work_.layout.key_columns;
    for (int begin = 0; begin < columns; begin += kKeyColumns) {
      const int here = min(kKeyColumns, columns - begin);
      __syncthreads();
      StageKeys(token, begin, here);
      __syncthreads();
      for (int c = 0; c < here; c += 4) {
        const float4 k = *reinterpret_cast<const float4*>(keys_ + key * kPanelStride + c);
#pragma unroll
        for (int i = 0; i < kQueryRows / kHalves; ++i) {
          const int query = first + i * kHalves;
          if (query >= tile_.queries()) continue;
          const float4 q = *reinterpret_cast<const float4*>(queries_ + query * columns + begin + c);
          sum[i] = __fmaf_rn(q.x, k.x, sum[i]);
          sum[i] = __fmaf_rn(q.y, k.y, sum[i]);
          sum[i] = __fmaf_rn(q.z, k.z, sum[i]);
          sum[i] = __fmaf_rn(q.w, k.w, sum[i]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kQueryRows / kHalves; ++i)
      scores_[(first + i * kHalves) * kScoreStride + key] = sum[i];
    __syncthreads();
  }

  // Weights take the scores' place.
  __device__ void PutWeights(int query, int key, const float (&weight)[4]) {
    *reinterpret_cast<float4*>(scores_ + query * kScoreStride + key) =
        make_float4(weight[0], weight[1], weight[2], weight[3]);
  }

  __device__ void AddValues(int token) {
#pragma unroll
    for (int i = 0; i < kQueryRows; ++i) {
      if (i >= tile_.queries()) continue;
      const float factor = notes_[i].factor;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) out_[i][c] *= factor;
    }
    const int end = min(token + kTileTokens - 1, tile_.last_token);
    for (int at = max(token, tile_.first_token); at <= end; ++at) AddValue(at, scores_ + at - token);
  }

  __device__ void MergeSplits(bool first, bool last) {
#pragma unroll
    for (int i = 0; i < kQueryRows; ++i) {
      if (i >= tile_.queries()) continue;
      const QueryNote note = notes_[i];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int column = tile_.column + Column(c);
        if (column < work_.layout.value_dim) {
          MergeSplit(note, first, last, out_[i][c], work_.y + note.out + column);
        }
      }
    }
  }

 private:
  static constexpr int kKeyColumns = 64;  // of the keys that are in shared memory at once
  static constexpr int kPanelStride = kKeyColumns + 4;
  static constexpr int kHalves = kAttentionThreads / kTileTokens;  // a thread scores every second query

  __device__ static int Column(int c) {
    return static_cast<int>(threadIdx.x) + c * kAttentionThreads;
  }

  __device__ void StageKeys(int token, int begin, int columns) {
    const int row = static_cast<int>(threadIdx.x) / 8;
#pragma unroll
    for (int block = 0; block < kTileBlocks; ++block) {
      const int at = token + block * kKvBlockTokens + row;
      const bool there = at >= tile_.first_token && at <= tile_.last_token;
      const auto* keys =
          reinterpret_cast<const float*>(FindHead(work_, tile_, at) + row * work_.layout.key_row) + begin;
      float* to = keys_ + (block * kKvBlockTokens + row) * kPanelStride;
      for (int c = static_cast<int>(threadIdx.x) % 8 * 4; c < columns; c += 32) {
        *reinterpret_cast<float4*>(to + c) =
            there ? *reinterpret_cast<const float4*>(keys + c) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      }
    }
  }

  // `weights`: of this token, kScoreStride apart.
  __device__ void AddValue(int token, const float* weights) {
    const std::byte* row =
        FindHead(work_, tile_, token) + work_.layout.values + token % kKvBlockTokens * work_.layout.value_row;
    float value[kColumns];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      value[c] =
          Column(c) < tile_.columns ? reinterpret_cast<const float*>(row)[tile_.column + Column(c)] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kQueryRows; ++i) {
      if (i >= tile_.queries()) continue;
      const float weight = weights[i * kScoreStride];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) out_[i][c] = __fmaf_rn(weight, value[c], out_[i][c]);
    }
  }

  const AttentionWork& work_;
  const QueryTile& tile_;
  QueryNote* const notes_;
  float* const queries_;
  float* const keys_;
  float* const scores_;
  float out_[kQueryRows][kColumns];
};

}  // namespace guildhall::cuda
