// Scores of queries with the keys of a span, in float arithmetic.
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_scores.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "hwy/cache_control.h"
#include "kernels/cpu/attention_simd-inl.h"

#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {

// Vector `v` of an element of a pair, of a block of transposed keys.
template <bool kSecond>
HWY_INLINE V KeyOfPair(const uint16_t* keys, int64_t pair, int v) {
  const uint16_t* from = keys + (pair * kKvBlockTokens + v * kLanes) * 2;
  return kSecond ? SecondOfPairs(from) : FirstOfPairs(from);
}
template <bool kSecond, typename T>
HWY_INLINE V KeyOfPair(const T* keys, int64_t pair, int v) {
  return LoadWide(keys + (pair * 2 + kSecond) * kKvBlockTokens + v * kLanes);
}

// scores[i][t] for kQueries neighbouring queries and kBlocks whole blocks of transposed keys: one chain of
// multiply-adds over the elements for each.
template <typename T, int kQueries, int kBlocks, bool kFetch>
struct TransposedTile {
  static constexpr int kVectors = kBlocks * kBlockVectors;
  const float* q[kQueries];
  const T* keys[kBlocks];
  const T* next[kBlocks];
  V sum[kQueries][kVectors];

  template <bool kSecond>
  HWY_INLINE void Add(int64_t pair) {
    const D d;
    V key[kVectors];
    GH_UNROLL for (int v = 0; v < kVectors; ++v) {
      key[v] = KeyOfPair<kSecond>(keys[v / kBlockVectors], pair, v % kBlockVectors);
    }
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const V element = hn::Set(d, q[i][pair * 2 + kSecond]);
      GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(element, key[v], sum[i][v]);
    }
  }

  HWY_INLINE void Fetch(int64_t pair) {
    if constexpr (kFetch) {
      GH_UNROLL for (int b = 0; b < kBlocks; ++b) {
        hwy::Prefetch(next[b] + pair * 2 * kKvBlockTokens);
        if (std::is_same_v<T, float>) hwy::Prefetch(next[b] + (pair * 2 + 1) * kKvBlockTokens);
      }
    }
  }

  HWY_INLINE void Run(const AttentionWork& work, int query, int block) {
    const D d;
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      q[i] = work.q[query + i];
      GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::Zero(d);
    }
    GH_UNROLL for (int b = 0; b < kBlocks; ++b) {
      keys[b] = static_cast<const T*>(work.keys[block + b]);
      next[b] = static_cast<const T*>(work.next_keys[block + b]);
    }
    for (int64_t pair = 0; pair < work.key_dim / 2; ++pair) {
      Fetch(pair);
      Add<false>(pair);
      Add<true>(pair);
    }
    if (work.key_dim % 2 != 0) Add<false>(work.key_dim / 2);
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      float* to = work.scores + (query + i) * kSpanTokens + block * kKvBlockTokens;
      GH_UNROLL for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[i][v], d, to + v * kLanes);
    }
  }
};

// Sums of the lanes of four vectors, each in the same order.
HWY_INLINE void SumLanes4(V a, V b, V c, V e, float* sums) {
#if HWY_TARGET == HWY_SCALAR
  sums[0] = hn::GetLane(a);
  sums[1] = hn::GetLane(b);
  sums[2] = hn::GetLane(c);
  sums[3] = hn::GetLane(e);
#else
  const D d;
  const V ac = hn::Add(hn::InterleaveLower(d, a, c), hn::InterleaveUpper(d, a, c));
  const V be = hn::Add(hn::InterleaveLower(d, b, e), hn::InterleaveUpper(d, b, e));
  const V all = hn::Add(hn::InterleaveLower(d, ac, be), hn::InterleaveUpper(d, ac, be));
  const hn::FixedTag<float, 4> d4;
  alignas(64) float lanes[kLanes];
  hn::Store(all, d, lanes);
  auto sum = hn::Load(d4, lanes);
  GH_UNROLL for (int i = 4; i < kLanes; i += 4) sum = hn::Add(sum, hn::Load(d4, lanes + i));
  hn::StoreU(sum, d4, sums);
#endif
}

// A part of the elements of token-major keys, and where its scores go.
struct KeyPart {
  int64_t begin, end;
  float* scores;
};

// The same for token-major keys (latent attention): kQueries x kTokens dot products at once, kTokens from
// `token` on.
template <int kQueries, int kTokens, typename T>
void ScoreTokens(const AttentionWork& work, const KeyPart& part, int query, int token) {
  const D d;
  const T* keys =
      static_cast<const T*>(work.keys[token / kKvBlockTokens]) + token % kKvBlockTokens * work.key_dim;
  V sum[kQueries][kTokens];
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    GH_UNROLL for (int t = 0; t < kTokens; ++t) sum[i][t] = hn::Zero(d);
  }
  int64_t e = part.begin;
  for (; e + kLanes <= part.end; e += kLanes) {
    V key[kTokens];
    GH_UNROLL for (int t = 0; t < kTokens; ++t) key[t] = LoadWide(keys + t * work.key_dim + e);
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const V q = hn::LoadU(d, work.q[query + i] + e);
      GH_UNROLL for (int t = 0; t < kTokens; ++t) sum[i][t] = hn::MulAdd(q, key[t], sum[i][t]);
    }
  }
  if (const int64_t rest = part.end - e; rest > 0) {
    for (int t = 0; t < kTokens; ++t) {
      const V key = LoadWidePart(keys + t * work.key_dim + e, rest);
      for (int i = 0; i < kQueries; ++i) {
        sum[i][t] = hn::MulAdd(LoadWidePart(work.q[query + i] + e, rest), key, sum[i][t]);
      }
    }
  }
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    float* to = part.scores + (query + i) * kSpanTokens + token;
    if constexpr (kTokens == 4) {
      SumLanes4(sum[i][0], sum[i][1], sum[i][2], sum[i][3], to);
    } else {
      static_assert(kTokens == 2);
      alignas(16) float pair[4];
      SumLanes4(sum[i][0], sum[i][1], sum[i][0], sum[i][1], pair);
      to[0] = pair[0];
      to[1] = pair[1];
    }
  }
}

// The blocks that one of the queries [first, first + count) sees.
struct BlockRange {
  int begin = kSpanBlocks, end = 0;

  BlockRange(const AttentionWork& work, int first, int count) {
    for (int i = first; i < first + count; ++i) {
      if (work.hi[i] <= work.lo[i]) continue;
      begin = HWY_MIN(begin, work.lo[i] / kKvBlockTokens);
      end = HWY_MAX(end, (work.hi[i] + kKvBlockTokens - 1) / kKvBlockTokens);
    }
  }
};

template <int kQueries, typename T>
void ScoreTransposed(const AttentionWork& work, int query) {
  constexpr int kFit = HWY_MAX(1, kAccumulators / (kQueries * kBlockVectors));
  constexpr int kBlocks = HWY_MIN(kFit, kSpanBlocks);
  const BlockRange range(work, query, kQueries);
  int block = range.begin;
  for (; block + kBlocks <= range.end; block += kBlocks) {
    if (query == 0) {
      TransposedTile<T, kQueries, kBlocks, true>().Run(work, query, block);
    } else {
      TransposedTile<T, kQueries, kBlocks, false>().Run(work, query, block);
    }
  }
  for (; block < range.end; ++block) TransposedTile<T, kQueries, 1, false>().Run(work, query, block);
}

template <typename T>
void ScoreSpan(const AttentionWork& work) {
  int i = 0;
  for (; i + kGroup <= work.queries; i += kGroup) ScoreTransposed<kGroup, T>(work, i);
  if constexpr (kGroup > 2) {
    for (; i + 2 <= work.queries; i += 2) ScoreTransposed<2, T>(work, i);
  }
  for (; i < work.queries; ++i) ScoreTransposed<1, T>(work, i);
}

// Tokens outermost: the keys of a few of them stay in the first-level cache for all queries.
template <typename T>
void ScoreLatentPart(const AttentionWork& work, const KeyPart& part) {
  constexpr int kTokens = kGroup * 4 <= kAccumulators ? 4 : 2;
  const BlockRange range(work, 0, work.queries);
  for (int token = range.begin * kKvBlockTokens; token < range.end * kKvBlockTokens; token += kTokens) {
    int i = 0;
    for (; i + kGroup <= work.queries; i += kGroup) ScoreTokens<kGroup, kTokens, T>(work, part, i, token);
    for (; i < work.queries; ++i) ScoreTokens<1, kTokens, T>(work, part, i, token);
  }
}

template <typename T>
void ScoreLatentSpan(const AttentionWork& work) {
  if (work.rotary_scores == nullptr) return ScoreLatentPart<T>(work, {0, work.key_dim, work.scores});
  ScoreLatentPart<T>(work, {0, work.value_dim, work.scores});
  ScoreLatentPart<T>(work, {work.value_dim, work.key_dim, work.rotary_scores});
}

void ScoreF32(const AttentionWork& work) {
  ScoreSpan<float>(work);
}
void ScoreBF16(const AttentionWork& work) {
  ScoreSpan<uint16_t>(work);
}
void ScoreF16(const AttentionWork& work) {
  ScoreSpan<hwy::float16_t>(work);
}
void ScoreLatentF32(const AttentionWork& work) {
  ScoreLatentSpan<float>(work);
}
void ScoreLatentBF16(const AttentionWork& work) {
  ScoreLatentSpan<uint16_t>(work);
}

void ScoreLatentF16(const AttentionWork& work) {
  ScoreLatentSpan<hwy::float16_t>(work);
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(ScoreF32);
HWY_EXPORT(ScoreBF16);
HWY_EXPORT(ScoreF16);
HWY_EXPORT(ScoreLatentF32);
HWY_EXPORT(ScoreLatentBF16);
HWY_EXPORT(ScoreLatentF16);

AttentionStep ChooseScore(DType numbers, bool latent, Isa isa) {
  switch (numbers) {
    case DType::kF32:
      return latent ? GH_SIMD(ScoreLatentF32, isa) : GH_SIMD(ScoreF32, isa);
    case DType::kBF16:
      return latent ? GH_SIMD(ScoreLatentBF16, isa) : GH_SIMD(ScoreBF16, isa);
    case DType::kF16:
      return latent ? GH_SIMD(ScoreLatentF16, isa) : GH_SIMD(ScoreF16, isa);
  }
  return nullptr;
}

}  // namespace guildhall
#endif  // HWY_ONCE
