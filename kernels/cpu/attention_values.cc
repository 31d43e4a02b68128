// Weighted sums of the values of a span, in float arithmetic.
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_values.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "hwy/cache_control.h"
#include "kernels/cpu/attention_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {

// Numbers T of values one token after the other, `stride` elements apart: with values of their own value_dim,
// in latent attention key_dim.
template <typename T>
struct TokenRows {
  static const T* Pair(const void* block, int pair, int64_t stride, int64_t begin) {
    return static_cast<const T*>(block) + pair * 2 * stride + begin;
  }
  template <bool kSecond>
  HWY_INLINE static V Load(const T* at, int64_t stride, int v) {
    return LoadWide(at + kSecond * stride + v * kLanes);
  }
  template <bool kSecond>
  static V LoadPart(const T* at, int64_t stride, int64_t count) {
    return LoadWidePart(at + kSecond * stride, count);
  }
  template <int kVectors>
  HWY_INLINE static void Fetch(const T* at, int64_t stride) {
    constexpr int kLine = 64 / sizeof(T);
    for (int line = 0; line < kVectors * kLanes; line += kLine) {
      hwy::Prefetch(at + line);
      hwy::Prefetch(at + stride + line);
    }
  }
};

// bf16 of two tokens beside each other.
struct TokenPairs {
  static const uint16_t* Pair(const void* block, int pair, int64_t stride, int64_t begin) {
    return static_cast<const uint16_t*>(block) + (pair * stride + begin) * 2;
  }
  template <bool kSecond>
  HWY_INLINE static V Load(const uint16_t* at, int64_t /*stride*/, int v) {
    return kSecond ? SecondOfPairs(at + v * kLanes * 2) : FirstOfPairs(at + v * kLanes * 2);
  }
  template <bool kSecond>
  static V LoadPart(const uint16_t* at, int64_t /*stride*/, int64_t count) {
    alignas(64) uint16_t lanes[kLanes * 2] = {};
    std::memcpy(lanes, at, static_cast<size_t>(count) * 2 * sizeof(uint16_t));
    return kSecond ? SecondOfPairs(lanes) : FirstOfPairs(lanes);
  }
  template <int kVectors>
  HWY_INLINE static void Fetch(const uint16_t* at, int64_t /*stride*/) {
    for (int line = 0; line < kVectors * kLanes * 2; line += 32) hwy::Prefetch(at + line);
  }
};

// out[i][begin ..] += weights[i] values over the tokens [lo, hi), one chain of multiply-adds in the order of
// the tokens for each element. kVectors vectors at once, or the row's last `part` elements.
template <typename Values, int kQueries, int kVectors, bool kPart, bool kFetch>
struct ValueTile {
  V sum[kQueries][kVectors];
  const float* weights;
  int64_t stride;
  [[maybe_unused]] int64_t part;

  template <bool kSecond, typename T>
  HWY_INLINE void Add(const T* at, int token) {
    V value[kVectors];
    GH_UNROLL for (int v = 0; v < kVectors; ++v) {
      if constexpr (kPart) {
        value[v] = Values::template LoadPart<kSecond>(at, stride, part);
      } else {
        value[v] = Values::template Load<kSecond>(at, stride, v);
      }
    }
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const V weight = hn::Set(D(), weights[i * kSpanTokens + token]);
      GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(weight, value[v], sum[i][v]);
    }
  }

  HWY_INLINE void Run(const AttentionWork& work, int query, int lo, int hi, int64_t begin) {
    const D d;
    stride = work.latent ? work.key_dim : work.value_dim;
    weights = work.scores + query * kSpanTokens;
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const float* out = work.State(query + i) + kStateOut + begin;
      GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::Load(d, out + v * kLanes);
    }
    for (int token = lo; token < hi;) {
      const int block = token / kKvBlockTokens, pair = token % kKvBlockTokens / 2;
      const auto* at = Values::Pair(work.values[block], pair, stride, begin);
      if constexpr (kFetch) {
        Values::template Fetch<kVectors>(Values::Pair(work.next_values[block], pair, stride, begin), stride);
      }
      if (token % 2 == 0) Add<false>(at, token++);
      if (token % 2 != 0 && token < hi) Add<true>(at, token++);
    }
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      float* out = work.State(query + i) + kStateOut + begin;
      GH_UNROLL for (int v = 0; v < kVectors; ++v) hn::Store(sum[i][v], d, out + v * kLanes);
    }
  }
};

template <typename Values, int kQueries>
void AddValues(const AttentionWork& work, int query, int lo, int hi, int64_t begin, int64_t end) {
  constexpr int kVectors = HWY_MIN(8, kAccumulators / kQueries);
  if (hi <= lo) return;
  for (; begin + kVectors * kLanes <= end; begin += kVectors * kLanes) {
    if (query == 0) {
      ValueTile<Values, kQueries, kVectors, false, true>().Run(work, query, lo, hi, begin);
    } else {
      ValueTile<Values, kQueries, kVectors, false, false>().Run(work, query, lo, hi, begin);
    }
  }
  for (; begin + kLanes <= end; begin += kLanes) {
    ValueTile<Values, kQueries, 1, false, false>().Run(work, query, lo, hi, begin);
  }
  if (begin < end) {
    ValueTile<Values, kQueries, 1, true, false> tile;
    tile.part = end - begin;
    tile.Run(work, query, lo, hi, begin);
  }
}

// The tokens that all of the queries see in one go, those of single queries before and after: ascending for
// each.
template <typename Values, int kQueries>
void AddQueryValues(const AttentionWork& work, int query, int64_t begin, int64_t end) {
  if constexpr (kQueries == 1) {
    AddValues<Values, 1>(work, query, work.lo[query], work.hi[query], begin, end);
  } else {
    int lo = 0, hi = kSpanTokens;
    for (int i = query; i < query + kQueries; ++i) {
      lo = HWY_MAX(lo, work.lo[i]);
      hi = HWY_MIN(hi, work.hi[i]);
    }
    hi = HWY_MAX(lo, hi);
    for (int i = query; i < query + kQueries; ++i) {
      AddValues<Values, 1>(work, i, work.lo[i], HWY_MIN(lo, work.hi[i]), begin, end);
    }
    AddValues<Values, kQueries>(work, query, lo, hi, begin, end);
    for (int i = query; i < query + kQueries; ++i) {
      AddValues<Values, 1>(work, i, HWY_MAX(hi, work.lo[i]), work.hi[i], begin, end);
    }
  }
}

// Elements outermost: each value is read from memory once for all queries.
template <typename Values>
void AddSpanValues(const AttentionWork& work) {
  constexpr int64_t kChunk = 8 * kLanes;
  for (int64_t begin = 0; begin < work.value_dim; begin += kChunk) {
    const int64_t end = HWY_MIN(begin + kChunk, work.value_dim);
    int i = 0;
    for (; i + kGroup <= work.queries; i += kGroup) AddQueryValues<Values, kGroup>(work, i, begin, end);
    if constexpr (kGroup > 2) {
      for (; i + 2 <= work.queries; i += 2) AddQueryValues<Values, 2>(work, i, begin, end);
    }
    for (; i < work.queries; ++i) AddQueryValues<Values, 1>(work, i, begin, end);
  }
}

void AddValuesF32(const AttentionWork& work) {
  AddSpanValues<TokenRows<float>>(work);
}
void AddValuesBF16(const AttentionWork& work) {
  AddSpanValues<TokenPairs>(work);
}
void AddLatentValuesBF16(const AttentionWork& work) {
  AddSpanValues<TokenRows<uint16_t>>(work);
}
void AddValuesF16(const AttentionWork& work) {
  AddSpanValues<TokenRows<hwy::float16_t>>(work);
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(AddValuesF32);
HWY_EXPORT(AddValuesBF16);
HWY_EXPORT(AddLatentValuesBF16);
HWY_EXPORT(AddValuesF16);

AttentionStep ChooseAddValues(DType numbers, bool latent, Isa isa) {
  if (numbers == DType::kF32) return GH_SIMD(AddValuesF32, isa);
  if (numbers == DType::kF16) return GH_SIMD(AddValuesF16, isa);
  return latent ? GH_SIMD(AddLatentValuesBF16, isa) : GH_SIMD(AddValuesBF16, isa);
}

}  // namespace guildhall
#endif  // HWY_ONCE
