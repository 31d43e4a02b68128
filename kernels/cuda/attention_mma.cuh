// Attention's products over a cache of bf16, f16 or int8, by mma.sync: queries and weights are rounded to the
// cache's numbers, which of int8 are bf16: codes as they are. A key's scales multiply its score, a value's
// scale its weight before that is rounded.
#pragma once

#include "kernels/cuda/attention_walk.cuh"
#include "kernels/cuda/ptx.h"

namespace guildhall::cuda {

// What the cache keeps, and the numbers that are multiplied.
struct Bf16Numbers {
  static constexpr bool kCodes = false;
  __device__ static uint32_t Round(float first, float second) { return RoundBf16Pair(first, second); }
  __device__ static void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    MmaBf16(d, a, b);
  }
};
struct F16Numbers {
  static constexpr bool kCodes = false;
  __device__ static uint32_t Round(float first, float second) { return RoundF16Pair(first, second); }
  __device__ static void Multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    MmaF16(d, a, b);
  }
};
struct Int8Codes : Bf16Numbers {
  static constexpr bool kCodes = true;
};

// Four codes to two pairs of bf16: what a float of a code has behind its upper half is 0.
__device__ inline uint2 WidenCodes(uint32_t codes) {
  uint32_t number[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    number[i] = __float_as_uint(static_cast<float>(static_cast<int8_t>(codes >> (8 * i))));
  }
  return make_uint2(number[0] >> 16 | (number[1] & 0xffff0000u), number[2] >> 16 | (number[3] & 0xffff0000u));
}

// kTiles times 16 queries are the instruction's M; of scores, a warp has 16 of the tile's keys, and of
// outputs, every fourth pair of 8 columns.
template <int kTileCount, int kPairs, typename Numbers>
class MmaProducts {
 public:
  static constexpr bool kCodes = Numbers::kCodes;
  static constexpr int kTiles = kTileCount;
  static constexpr int kPanel = kPairs * 4 * 16;

  __device__ MmaProducts(const AttentionWork& work, const QueryTile& tile, std::byte* shared)
      : work_(work),
        tile_(tile),
        key_stride_(KeyStride(work.layout)),
        value_stride_(work.layout.latent ? key_stride_ : work.panel + 8),
        notes_(reinterpret_cast<QueryNote*>(shared + work.shared.notes)),
        queries_(reinterpret_cast<uint16_t*>(shared + work.shared.queries)),
        keys_(reinterpret_cast<uint16_t*>(shared + work.shared.keys)),
        values_(work.layout.latent ? keys_ + tile.column
                                   : reinterpret_cast<uint16_t*>(shared + work.shared.values)),
        weights_(reinterpret_cast<uint16_t*>(shared + work.shared.weights)),
        scores_(reinterpret_cast<float*>(shared + work.shared.scores)),
        scales_(reinterpret_cast<float*>(shared + work.shared.scales)) {
#pragma unroll
    for (int i = 0; i < kTiles * kPairs * 8; ++i) {
      out_[i / (kPairs * 8)][i / 8 % kPairs][i / 4 % 2][i % 4] = 0.0f;
    }
    StageQueries();
  }

  // Of rows of keys in shared memory: an odd number of 16-byte pieces, so that eight rows are in eight banks.
  __host__ __device__ static int KeyStride(const KvLayout& layout) {
    return layout.key_columns + 8;
  }
  static int QueryStride(const KvLayout& layout) {
    return KeyStride(layout);
  }
  __device__ int tiles() const {
    return (tile_.queries() + kQueryRows - 1) / kQueryRows;
  }
  __device__ float* scores() const {
    return scores_;
  }
  __device__ float ValueScale(int key) const {
    return kCodes ? scales_[2 * kTileTokens + key] : 1.0f;
  }

  // Fetches begin when nobody reads what was there before; the values of latent attention are its keys.
  __device__ void FetchKeys(int token) {
    if (!work_.layout.latent) StartKeys(token);
  }
  __device__ void FetchValues(int token) {
    if (work_.layout.latent) return StartKeys(token);
    const int64_t begin = work_.layout.values + tile_.column * kElement;
    StageRows(token, begin, work_.layout.value_row, tile_.columns, values_, value_stride_);
    if constexpr (kCodes) StageScales(token, 1, scales_ + 2 * kTileTokens);
    CopyAsyncCommit();
  }

  // Leaves the queries' raw scores of the 64 keys from `token` on in shared memory. Then the values are
  // there.
  __device__ void Score(int) {
    if (work_.layout.latent) {
      CopyAsyncWait<0>();
    } else {
      CopyAsyncWait<1>();
    }
    __syncthreads();
    if constexpr (kCodes) {
      const int first = work_.layout.columns[0];
      ScorePart(0, first, scales_, false);
      if (work_.layout.latent) ScorePart(first, work_.layout.key_columns, scales_ + kTileTokens, true);
    } else {
      ScorePart(0, work_.layout.key_columns, nullptr, false);
    }
    CopyAsyncWait<0>();
    __syncthreads();
  }

  __device__ void PutWeights(int query, int key, const float (&weight)[4]) {
    *reinterpret_cast<uint2*>(weights_ + query * kWeightStride + key) =
        make_uint2(Numbers::Round(weight[0], weight[1]), Numbers::Round(weight[2], weight[3]));
  }

  __device__ void AddValues(int) {
    ApplyFactors();
    const uint16_t* weights = weights_ + Lane() % 16 * kWeightStride + Lane() / 16 * 8;
    const uint16_t* values = values_ + Lane() % 16 * value_stride_ + Lane() / 16 * 8;
    for (int key = 0; key < kTileTokens; key += 16) {
      uint32_t weight[kTiles][4];
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        if (i < tiles()) LdMatrixX4(weight[i], weights + i * kQueryRows * kWeightStride + key);
      }
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) {
        if (Column(pair) >= tile_.columns) continue;
        uint32_t value[4];
        LdMatrixX4Trans(value, values + key * value_stride_ + Column(pair));
        const uint32_t left[2] = {value[0], value[1]}, right[2] = {value[2], value[3]};
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
          if (i >= tiles()) continue;
          Numbers::Multiply(out_[i][pair][0], weight[i], left);
          Numbers::Multiply(out_[i][pair][1], weight[i], right);
        }
      }
    }
  }

  __device__ void MergeSplits(bool first, bool last) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      if (i >= tiles()) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const QueryNote note = notes_[i * kQueryRows + half * 8 + Lane() / 4];
        if (note.out < 0) continue;
#pragma unroll
        for (int c = 0; c < kPairs * 4; ++c) {
          const int pair = c / 4, side = c / 2 % 2, element = c % 2;
          const int column = tile_.column + Column(pair) + side * 8 + Lane() % 4 * 2 + element;
          if (column < work_.layout.value_dim) {
            MergeSplit(note, first, last, out_[i][pair][side][half * 2 + element],
                       work_.y + note.out + column);
          }
        }
      }
    }
  }

 private:
  static constexpr int kElement = kCodes ? 1 : 2;  // bytes of a number in the cache
  __device__ static int Lane() {
    return static_cast<int>(threadIdx.x) % 32;
  }
  __device__ static int Warp() {
    return static_cast<int>(threadIdx.x) / 32;
  }
  // Among the panel's: the first of a pair of 8.
  __device__ static int Column(int pair) {
    return (pair * 4 + Warp()) * 16;
  }

  // Zeros where the last 16 queries are not all there.
  __device__ void StageQueries() {
    for (int i = Warp(); i < tiles() * kQueryRows; i += 4) {
      const bool there = i < tile_.queries();
      const float* query = FindQuery(work_, tile_, there ? i : 0);
      for (int c = Lane() * 2; c < work_.layout.key_columns; c += 64) {
        const float first = there ? QueryNumber(work_.layout, query, c) : 0.0f;
        const float second = there ? QueryNumber(work_.layout, query, c + 1) : 0.0f;
        *reinterpret_cast<uint32_t*>(queries_ + i * key_stride_ + c) = Numbers::Round(first, second);
      }
    }
  }

  __device__ void StartKeys(int token) {
    StageRows(token, 0, work_.layout.key_row, work_.layout.key_columns, keys_, key_stride_);
    if constexpr (kCodes) {
      StageScales(token, 0, scales_);
      if (work_.layout.latent) {
        StageScales(token, 1, scales_ + kTileTokens);
        StageScales(token, 0, scales_ + 2 * kTileTokens);
      }
    }
    CopyAsyncCommit();
  }

  // `columns` numbers of each of 64 tokens, `begin` bytes from the head's place; zeros where nobody looks, as
  // there may be anything.
  __device__ void StageRows(int token, int64_t begin, int64_t row_bytes, int columns, uint16_t* to,
                            int stride) {
    const int row = static_cast<int>(threadIdx.x) / 8;
#pragma unroll
    for (int block = 0; block < kTileBlocks; ++block) {
      const int at = token + block * kKvBlockTokens + row;
      const bool there = at >= tile_.first_token && at <= tile_.last_token;
      const std::byte* from = FindHead(work_, tile_, at) + begin + row * row_bytes;
      uint16_t* place = to + (block * kKvBlockTokens + row) * stride;
      constexpr int kPiece = 16 / kElement;
      for (int c = static_cast<int>(threadIdx.x) % 8 * kPiece; c < columns; c += 8 * kPiece) {
        if constexpr (kCodes) {
          PutCodes(there ? *reinterpret_cast<const uint4*>(from + c) : make_uint4(0, 0, 0, 0), place + c);
        } else {
          CopyAsync16OrZero(place + c, from + c * kElement, there);
        }
      }
    }
  }

  __device__ static void PutCodes(const uint4& codes, uint16_t* to) {
    const uint2 a = WidenCodes(codes.x), b = WidenCodes(codes.y);
    const uint2 c = WidenCodes(codes.z), d = WidenCodes(codes.w);
    reinterpret_cast<uint4*>(to)[0] = make_uint4(a.x, a.y, b.x, b.y);
    reinterpret_cast<uint4*>(to)[1] = make_uint4(c.x, c.y, d.x, d.y);
  }

  __device__ void StageScales(int token, int which, float* to) {
    const int key = static_cast<int>(threadIdx.x), at = token + key;
    if (key >= kTileTokens) return;
    const bool there = at >= tile_.first_token && at <= tile_.last_token;
    const auto* scales = reinterpret_cast<const float*>(FindHead(work_, tile_, at) + work_.layout.scales);
    to[key] = there ? scales[which * kKvBlockTokens + at % kKvBlockTokens] : 0.0f;
  }

  // Of the columns [begin, end), times the keys' scales if there are any; `add`: to what is there.
  __device__ void ScorePart(int begin, int end, const float* key_scale, bool add) {
    float sum[kTiles][2][4] = {};
    const uint16_t* keys =
        keys_ + (Warp() * 16 + Lane() / 16 * 8 + Lane() % 8) * key_stride_ + Lane() / 8 % 2 * 8;
    const uint16_t* queries = queries_ + Lane() % 16 * key_stride_ + Lane() / 16 * 8;
    for (int c = begin; c < end; c += 16) {
      uint32_t key[4];
      LdMatrixX4(key, keys + c);
      const uint32_t left[2] = {key[0], key[1]}, right[2] = {key[2], key[3]};
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        if (i >= tiles()) continue;
        uint32_t query[4];
        LdMatrixX4(query, queries + i * kQueryRows * key_stride_ + c);
        Numbers::Multiply(sum[i][0], query, left);
        Numbers::Multiply(sum[i][1], query, right);
      }
    }
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      if (i < tiles()) PutScores(i * kQueryRows, sum[i], key_scale, add);
    }
  }

  __device__ void PutScores(int query, const float (&sum)[2][4], const float* key_scale, bool add) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int side = i / 4, half = i / 2 % 2, element = i % 2;
      const int key = Warp() * 16 + side * 8 + Lane() % 4 * 2 + element;
      float* to = scores_ + (query + half * 8 + Lane() / 4) * kScoreStride + key;
      const float number = sum[side][half * 2 + element];
      if constexpr (kCodes) {
        *to = add ? __fmaf_rn(number, key_scale[key], *to) : number * key_scale[key];
      } else {
        *to = number;
      }
    }
  }

  __device__ void ApplyFactors() {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      if (i >= tiles()) continue;
      const QueryNote* notes = notes_ + i * kQueryRows + Lane() / 4;
      const float upper = notes[0].factor, lower = notes[8].factor;
#pragma unroll
      for (int c = 0; c < kPairs * 2; ++c) {
        float(&out)[4] = out_[i][c / 2][c % 2];
        out[0] *= upper;
        out[1] *= upper;
        out[2] *= lower;
        out[3] *= lower;
      }
    }
  }

  const AttentionWork& work_;
  const QueryTile& tile_;
  const int key_stride_, value_stride_;
  QueryNote* const notes_;
  uint16_t* const queries_;
  uint16_t* const keys_;
  uint16_t* const values_;
  uint16_t* const weights_;
  float* const scores_;
  float* const scales_;
  float out_[kTiles][kPairs][2][4];
};

}  // namespace guildhall::cuda
