// Attention over numbers of bf16 by the dot products of AVX-512: each instruction multiplies two pairs of
// neighbours and adds both. Queries and weights are rounded to bf16, too; sums are float. Compiled for that
// level: nothing here may run before isa.cc has said yes, and no inline function of another header may be
// called from here.
#include <immintrin.h>

#include "kernels/cpu/attention_kernels.h"

#define GH_UNROLL _Pragma("GCC unroll 16")

namespace guildhall {
namespace {

// The first `count` of 16 lanes; none below zero, all from 16 on.
__mmask16 FirstLanes(int64_t count) {
  if (count >= 16) return static_cast<__mmask16>(0xffffu);
  return static_cast<__mmask16>(count <= 0 ? 0u : (1u << count) - 1u);
}

constexpr int kGroup = 4;  // queries of a register tile

constexpr int Min(int a, int b) {
  return a < b ? a : b;
}
constexpr int Max(int a, int b) {
  return a < b ? b : a;
}

inline __m512i Load(const void* from) {
  return _mm512_loadu_si512(from);
}
// Two neighbours to all places.
inline __m512i Broadcast(const uint16_t* from) {
  int pair;
  __builtin_memcpy(&pair, from, sizeof(pair));
  return _mm512_set1_epi32(pair);
}
inline __m512 Dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}
inline __m512i Round(__m512 high, __m512 low) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

void RoundQuery(const float* x, int64_t count, int64_t padded, uint16_t* to) {
  for (int64_t i = 0; i < padded; i += 32) {
    const int64_t left = count - i;
    const __mmask16 low = FirstLanes(left), high = FirstLanes(left - 16);
    _mm512_storeu_si512(to + i,
                        Round(_mm512_maskz_loadu_ps(high, x + i + 16), _mm512_maskz_loadu_ps(low, x + i)));
  }
}

// A whole line of codes at a time where there is one; every block has a multiple of 16 codes.
void Expand(const int8_t* codes, int64_t count, uint16_t* to, const int8_t* next) {
  const auto widen = [](const int8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  };
  int64_t i = 0;
  for (; i + 64 <= count; i += 64) {
    _mm_prefetch(next + i, _MM_HINT_T1);
    _mm512_storeu_si512(to + i, Round(widen(codes + i + 16), widen(codes + i)));
    _mm512_storeu_si512(to + i + 32, Round(widen(codes + i + 48), widen(codes + i + 32)));
  }
  for (; i < count; i += 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), (__m256i)_mm512_cvtneps_pbh(widen(codes + i)));
  }
}

// The blocks that one of the queries [first, first + count) sees.
struct BlockRange {
  int begin = kSpanBlocks, end = 0;

  BlockRange(const AttentionWork& work, int first, int count) {
    for (int i = first; i < first + count; ++i) {
      if (work.hi[i] <= work.lo[i]) continue;
      begin = Min(begin, work.lo[i] / kKvBlockTokens);
      end = Max(end, (work.hi[i] + kKvBlockTokens - 1) / kKvBlockTokens);
    }
  }
};

// kQueries queries x kBlocks blocks of transposed pairs.
template <int kQueries, int kBlocks>
void ScorePairs(const AttentionWork& work, int query, int block) {
  __m512 sum[kQueries][kBlocks];
  const uint16_t* q[kQueries];
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    q[i] = work.q_bf16 + (query + i) * work.q_stride;
    GH_UNROLL for (int b = 0; b < kBlocks; ++b) sum[i][b] = _mm512_setzero_ps();
  }
  const uint16_t* keys[kBlocks];
  const uint16_t* next[kBlocks];
  GH_UNROLL for (int b = 0; b < kBlocks; ++b) {
    keys[b] = static_cast<const uint16_t*>(work.keys[block + b]);
    next[b] = static_cast<const uint16_t*>(work.next_keys[block + b]);
  }
  const bool fetch = query == 0 && !work.quantized;
  const int64_t pairs = (work.key_dim + 1) / 2;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    __m512i key[kBlocks];
    GH_UNROLL for (int b = 0; b < kBlocks; ++b) {
      if (fetch) _mm_prefetch(next[b] + pair * 32, _MM_HINT_T0);
      key[b] = Load(keys[b] + pair * 32);
    }
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const __m512i elements = Broadcast(q[i] + pair * 2);
      GH_UNROLL for (int b = 0; b < kBlocks; ++b) sum[i][b] = Dot(sum[i][b], elements, key[b]);
    }
  }
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    GH_UNROLL for (int b = 0; b < kBlocks; ++b) {
      _mm512_storeu_ps(work.scores + (query + i) * kSpanTokens + (block + b) * kKvBlockTokens, sum[i][b]);
    }
  }
}

template <int kQueries>
void ScoreQueries(const AttentionWork& work, int query) {
  const BlockRange range(work, query, kQueries);
  int block = range.begin;
  for (; block + 4 <= range.end; block += 4) ScorePairs<kQueries, 4>(work, query, block);
  for (; block + 2 <= range.end; block += 2) ScorePairs<kQueries, 2>(work, query, block);
  for (; block < range.end; ++block) ScorePairs<kQueries, 1>(work, query, block);
}

void Score(const AttentionWork& work) {
  int i = 0;
  for (; i + kGroup <= work.queries; i += kGroup) ScoreQueries<kGroup>(work, i);
  for (; i + 2 <= work.queries; i += 2) ScoreQueries<2>(work, i);
  for (; i < work.queries; ++i) ScoreQueries<1>(work, i);
}

// Sums of the lanes of four vectors, each in the same order.
inline __m128 SumLanes4(__m512 a, __m512 b, __m512 c, __m512 e) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 ce = _mm512_add_ps(_mm512_unpacklo_ps(c, e), _mm512_unpackhi_ps(c, e));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(ce));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(ce));
  const __m512 all = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

// A part of the elements of token-major keys, and where its scores go.
struct KeyPart {
  int64_t begin, end;
  float* scores;
};

// kQueries queries x 4 tokens, each key of key_dim neighbours.
template <int kQueries>
void ScoreTokens(const AttentionWork& work, const KeyPart& part, int query, int token) {
  const int block = token / kKvBlockTokens;
  const int64_t offset = token % kKvBlockTokens * work.key_dim;
  const uint16_t* keys = static_cast<const uint16_t*>(work.keys[block]) + offset;
  const uint16_t* next = static_cast<const uint16_t*>(work.next_keys[block]) + offset;
  const bool fetch = query == 0 && !work.quantized && part.begin == 0;
  __m512 sum[kQueries][4];
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    GH_UNROLL for (int t = 0; t < 4; ++t) sum[i][t] = _mm512_setzero_ps();
  }
  for (int64_t e = part.begin; e < part.end; e += 32) {
    const int64_t left = part.end - e;
    const __mmask32 mask = left >= 32 ? 0xffffffffu : (1u << left) - 1;
    __m512i key[4];
    GH_UNROLL for (int t = 0; t < 4; ++t) {
      if (fetch) _mm_prefetch(next + t * work.key_dim + e, _MM_HINT_T0);
      key[t] = _mm512_maskz_loadu_epi16(mask, keys + t * work.key_dim + e);
    }
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const __m512i q = _mm512_maskz_loadu_epi16(mask, work.q_bf16 + (query + i) * work.q_stride + e);
      GH_UNROLL for (int t = 0; t < 4; ++t) sum[i][t] = Dot(sum[i][t], q, key[t]);
    }
  }
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    _mm_storeu_ps(part.scores + (query + i) * kSpanTokens + token,
                  SumLanes4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]));
  }
}

// Tokens outermost: the keys of a few of them stay in the first-level cache for all queries.
void ScoreLatentPart(const AttentionWork& work, const KeyPart& part) {
  const BlockRange range(work, 0, work.queries);
  for (int token = range.begin * kKvBlockTokens; token < range.end * kKvBlockTokens; token += 4) {
    int i = 0;
    for (; i + kGroup <= work.queries; i += kGroup) ScoreTokens<kGroup>(work, part, i, token);
    for (; i + 2 <= work.queries; i += 2) ScoreTokens<2>(work, part, i, token);
    for (; i < work.queries; ++i) ScoreTokens<1>(work, part, i, token);
  }
}

void ScoreLatent(const AttentionWork& work) {
  if (work.rotary_scores == nullptr) return ScoreLatentPart(work, {0, work.key_dim, work.scores});
  ScoreLatentPart(work, {0, work.value_dim, work.scores});
  ScoreLatentPart(work, {work.value_dim, work.key_dim, work.rotary_scores});
}

// The weights of a query as pairs of bf16, in the place of its scores.
uint16_t* Weights(const AttentionWork& work, int query) {
  return reinterpret_cast<uint16_t*>(work.scores + query * kSpanTokens);
}
void RoundWeights(const AttentionWork& work, int query) {
  const float* from = work.scores + query * kSpanTokens;
  const __m512i first = Round(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from));
  const __m512i second = Round(_mm512_loadu_ps(from + 48), _mm512_loadu_ps(from + 32));
  _mm512_storeu_si512(Weights(work, query), first);
  _mm512_storeu_si512(Weights(work, query) + 32, second);
}

// Values of two tokens beside each other in memory: vectors of 16 elements.
struct StoredPairs {
  const uint16_t* at;

  StoredPairs(const AttentionWork& work, const void* const* blocks, int pair, int64_t begin)
      : at(static_cast<const uint16_t*>(blocks[pair / 8]) + (pair % 8 * work.value_dim + begin) * 2) {}

  template <int kVectors>
  void Load(int64_t count, __m512i* value) const {
    GH_UNROLL for (int v = 0; v < kVectors; ++v) {
      const int64_t left = count - v * 16;
      const __mmask16 mask = FirstLanes(left);
      value[v] = _mm512_maskz_loadu_epi32(mask, at + v * 32);
    }
  }
  template <int kVectors>
  void Fetch() const {
    GH_UNROLL for (int v = 0; v < kVectors; ++v) _mm_prefetch(at + v * 32, _MM_HINT_T0);
  }
};

// Values of latent attention: two tokens' rows, brought together on the way.
struct RowPairs {
  const uint16_t* at;
  int64_t stride;

  RowPairs(const AttentionWork& work, const void* const* blocks, int pair, int64_t begin)
      : at(static_cast<const uint16_t*>(blocks[pair / 8]) + pair % 8 * 2 * work.key_dim + begin),
        stride(work.key_dim) {}

  template <int kVectors>
  void Load(int64_t count, __m512i* value) const {
    static_assert(kVectors % 2 == 0);
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7,
                                         38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    GH_UNROLL for (int v = 0; v < kVectors; v += 2) {
      const int64_t left = count - v * 16;
      const __mmask32 mask = left >= 32 ? 0xffffffffu : (1u << (left < 0 ? 0 : left)) - 1;
      const __m512i first = _mm512_maskz_loadu_epi16(mask, at + v * 16);
      const __m512i second = _mm512_maskz_loadu_epi16(mask, at + stride + v * 16);
      value[v] = _mm512_permutex2var_epi16(first, low, second);
      value[v + 1] = _mm512_permutex2var_epi16(first, high, second);
    }
  }
  template <int kVectors>
  void Fetch() const {}  // the keys have been fetched
};

// Ones where token 2 * pair + half is in [lo, hi).
inline __m512i SeenMask(int pair, int lo, int hi) {
  const bool first = pair * 2 >= lo && pair * 2 < hi, second = pair * 2 + 1 >= lo && pair * 2 + 1 < hi;
  return _mm512_set1_epi32(static_cast<int>((first ? 0x0000ffffu : 0u) | (second ? 0xffff0000u : 0u)));
}

// Elements [begin, begin + 16 kVectors), of which `count` exist, over the pairs [from, to). kEdges: tokens
// out of a query's sight are masked out; their numbers may be anything.
template <typename Values, int kQueries, int kVectors, bool kEdges>
void AddPairs(const AttentionWork& work, int query, int from, int to, int64_t begin) {
  if (to <= from) return;
  const int64_t count = work.value_dim - begin;
  const bool fetch = query == 0 && !work.quantized;
  float* out[kQueries];
  __m512 sum[kQueries][kVectors];
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    out[i] = work.state + (query + i) * work.state_stride + kStateOut + begin;
    GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = _mm512_loadu_ps(out[i] + v * 16);
  }
  for (int pair = from; pair < to; ++pair) {
    __m512i value[kVectors];
    Values(work, work.values, pair, begin).template Load<kVectors>(count, value);
    if (fetch) Values(work, work.next_values, pair, begin).template Fetch<kVectors>();
    if constexpr (kEdges) {
      const __m512i seen = SeenMask(pair, work.lo[query], work.hi[query]);
      GH_UNROLL for (int v = 0; v < kVectors; ++v) value[v] = _mm512_and_si512(value[v], seen);
    }
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const __m512i weights = Broadcast(Weights(work, query + i) + pair * 2);
      GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = Dot(sum[i][v], weights, value[v]);
    }
  }
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    GH_UNROLL for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(out[i] + v * 16, sum[i][v]);
  }
}

// The pairs that all of the queries see whole in one go, those of single queries before and after: ascending
// for each.
template <typename Values, int kQueries, int kVectors>
void AddQueryValues(const AttentionWork& work, int query, int64_t begin) {
  int lo = 0, hi = kSpanTokens / 2;
  for (int i = query; i < query + kQueries; ++i) {
    lo = Max(lo, (work.lo[i] + 1) / 2);
    hi = Min(hi, work.hi[i] / 2);
  }
  hi = Max(lo, hi);
  for (int i = query; i < query + kQueries; ++i) {
    AddPairs<Values, 1, kVectors, true>(work, i, work.lo[i] / 2, Min(lo, (work.hi[i] + 1) / 2), begin);
  }
  AddPairs<Values, kQueries, kVectors, false>(work, query, lo, hi, begin);
  for (int i = query; i < query + kQueries; ++i) {
    AddPairs<Values, 1, kVectors, true>(work, i, Max(hi, work.lo[i] / 2), (work.hi[i] + 1) / 2, begin);
  }
}

template <typename Values>
void AddValues(const AttentionWork& work) {
  for (int i = 0; i < work.queries; ++i) RoundWeights(work, i);
  for (int64_t begin = 0; begin < work.value_dim;) {
    const bool whole = begin + 64 <= work.value_dim;
    const auto add = [&]<int kQueries>(int query) {
      whole ? AddQueryValues<Values, kQueries, 4>(work, query, begin)
            : AddQueryValues<Values, kQueries, 2>(work, query, begin);
    };
    int i = 0;
    for (; i + kGroup <= work.queries; i += kGroup) add.template operator()<kGroup>(i);
    for (; i + 2 <= work.queries; i += 2) add.template operator()<2>(i);
    for (; i < work.queries; ++i) add.template operator()<1>(i);
    begin += whole ? 64 : 32;
  }
}

}  // namespace

void ChooseBF16Dot(bool latent, AttentionKernels& kernels) {
  kernels.score = latent ? ScoreLatent : Score;
  kernels.add_values = latent ? AddValues<RowPairs> : AddValues<StoredPairs>;
  kernels.expand = Expand;
  kernels.round_query = RoundQuery;
}

}  // namespace guildhall
