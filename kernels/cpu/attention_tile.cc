#include "kernels/cpu/attention_tile.h"

#include "kernels/cpu/kv_layout.h"
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_tile.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "hwy/cache_control.h"
#include "hwy/contrib/math/math-inl.h"

#include <cstring>
#include <limits>

// Register tiles are arrays of vectors: every loop over one must vanish.
#undef GH_UNROLL
#define GH_UNROLL _Pragma("GCC unroll 16")

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kBlockVectors = kKvBlockTokens / kLanes;
constexpr int kSpanBlocks = kSpanTokens / kKvBlockTokens;
// Accumulators that stay in registers: 32 registers, or 16.
constexpr int kAccumulators = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 16 : 8;
// Queries of a register tile.
constexpr int kGroup = kAccumulators >= 4 * kBlockVectors ? 4 : 2;
static_assert(kKvBlockTokens % kLanes == 0);

HWY_INLINE V LoadWide(const float* from) {
  return hn::LoadU(D(), from);
}
HWY_INLINE V LoadWide(const uint16_t* from) {
  const hn::Rebind<uint16_t, D> du16;
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(du16, from))));
}

// The first `count` < kLanes numbers and zeros; reads nothing beyond them.
template <typename T>
HWY_INLINE V LoadWidePart(const T* from, int64_t count) {
  alignas(64) T lanes[kLanes] = {};
  std::memcpy(lanes, from, static_cast<size_t>(count) * sizeof(T));
  return LoadWide(lanes);
}

// The tile's queries and the span that they look at.
template <typename T>
struct Work {
  int queries = 0;
  const float* q[kMaxTileQueries];    // (key_dim) each
  int64_t position[kMaxTileQueries];  // the last visible token
  int64_t first[kMaxTileQueries];     // the first
  int lo[kMaxTileQueries];            // visible tokens of the span: [lo, hi), empty if hi <= lo
  int hi[kMaxTileQueries];
  float max[kMaxTileQueries];  // of all spans so far
  float sum[kMaxTileQueries];  // of exp(score - max)
  float* scores;               // (queries, kSpanTokens)
  float* out;                  // (queries, out_stride), not yet divided by `sum`
  int64_t out_stride;
  const T* keys[kSpanBlocks];  // null where no query looks
  const T* values[kSpanBlocks];
  const T* next_keys[kSpanBlocks];  // of the next span, to be fetched early; as above where there is none
  const T* next_values[kSpanBlocks];
  int64_t key_dim, value_dim, value_stride;
  float scale;
};

// scores[i][t] for kQueries neighbouring queries and kBlocks whole blocks of transposed keys: one chain of
// multiply-adds over the elements for each.
template <int kQueries, int kBlocks, bool kFetch, typename T>
void ScoreTransposed(const Work<T>& work, int query, int block) {
  constexpr int kVectors = kBlocks * kBlockVectors;
  const D d;
  const float* q[kQueries];
  V sum[kQueries][kVectors];
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    q[i] = work.q[query + i];
    GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::Zero(d);
  }
  const T* keys[kBlocks];
  const T* next[kBlocks];
  GH_UNROLL for (int b = 0; b < kBlocks; ++b) {
    keys[b] = work.keys[block + b];
    next[b] = work.next_keys[block + b];
  }
  for (int64_t e = 0; e < work.key_dim; ++e) {
    if constexpr (kFetch) {
      GH_UNROLL for (int b = 0; b < kBlocks; ++b) hwy::Prefetch(next[b] + e * kKvBlockTokens);
    }
    V key[kVectors];
    GH_UNROLL for (int v = 0; v < kVectors; ++v) {
      key[v] = LoadWide(keys[v / kBlockVectors] + e * kKvBlockTokens + v % kBlockVectors * kLanes);
    }
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const V element = hn::Set(d, q[i][e]);
      GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(element, key[v], sum[i][v]);
    }
  }
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    float* to = work.scores + (query + i) * kSpanTokens + block * kKvBlockTokens;
    GH_UNROLL for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[i][v], d, to + v * kLanes);
  }
}

// Sums of the lanes of four vectors, each in the same order.
HWY_INLINE void SumLanes4(V a, V b, V c, V e, float* sums) {
#if HWY_TARGET == HWY_SCALAR
  const D d;
  sums[0] = hn::GetLane(a);
  sums[1] = hn::GetLane(b);
  sums[2] = hn::GetLane(c);
  sums[3] = hn::GetLane(e);
  (void)d;
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

// The same for token-major keys (latent attention): kQueries x kTokens dot products at once, kTokens from
// `token` on.
template <int kQueries, int kTokens, typename T>
void ScoreTokens(const Work<T>& work, int query, int token) {
  const D d;
  const T* keys = work.keys[token / kKvBlockTokens] + token % kKvBlockTokens * work.key_dim;
  V sum[kQueries][kTokens];
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    GH_UNROLL for (int t = 0; t < kTokens; ++t) sum[i][t] = hn::Zero(d);
  }
  int64_t e = 0;
  for (; e + kLanes <= work.key_dim; e += kLanes) {
    V key[kTokens];
    GH_UNROLL for (int t = 0; t < kTokens; ++t) key[t] = LoadWide(keys + t * work.key_dim + e);
    GH_UNROLL for (int i = 0; i < kQueries; ++i) {
      const V q = hn::LoadU(d, work.q[query + i] + e);
      GH_UNROLL for (int t = 0; t < kTokens; ++t) sum[i][t] = hn::MulAdd(q, key[t], sum[i][t]);
    }
  }
  if (const int64_t rest = work.key_dim - e; rest > 0) {
    for (int t = 0; t < kTokens; ++t) {
      const V key = LoadWidePart(keys + t * work.key_dim + e, rest);
      for (int i = 0; i < kQueries; ++i) {
        sum[i][t] = hn::MulAdd(LoadWidePart(work.q[query + i] + e, rest), key, sum[i][t]);
      }
    }
  }
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    float* to = work.scores + (query + i) * kSpanTokens + token;
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

// Scores of kQueries queries for the blocks that one of them sees.
template <int kQueries, bool kLatent, typename T>
void ScoreQueries(const Work<T>& work, int query) {
  int lo = kSpanTokens, hi = 0;
  for (int i = query; i < query + kQueries; ++i) {
    if (work.hi[i] <= work.lo[i]) continue;
    lo = HWY_MIN(lo, work.lo[i]);
    hi = HWY_MAX(hi, work.hi[i]);
  }
  int block = lo / kKvBlockTokens;
  const int end = (hi + kKvBlockTokens - 1) / kKvBlockTokens;
  if constexpr (kLatent) {
    constexpr int kTokens = kQueries * 4 <= kAccumulators ? 4 : 2;
    for (int token = block * kKvBlockTokens; token < end * kKvBlockTokens; token += kTokens) {
      ScoreTokens<kQueries, kTokens>(work, query, token);
    }
  } else {
    constexpr int kFit = HWY_MAX(1, kAccumulators / (kQueries * kBlockVectors));
    constexpr int kBlocks = HWY_MIN(kFit, kSpanBlocks);
    for (; block + kBlocks <= end; block += kBlocks) {
      if (query == 0) {
        ScoreTransposed<kQueries, kBlocks, true>(work, query, block);
      } else {
        ScoreTransposed<kQueries, kBlocks, false>(work, query, block);
      }
    }
    for (; block < end; ++block) ScoreTransposed<kQueries, 1, false>(work, query, block);
  }
}

// Turns the span's scores of one query into weights relative to the new maximum, and what was summed before
// along.
template <typename T>
void WeighQuery(Work<T>& work, int query) {
  const D d;
  float* scores = work.scores + query * kSpanTokens;
  const float kHidden = -std::numeric_limits<float>::infinity();
  for (int t = 0; t < work.lo[query]; ++t) scores[t] = kHidden;
  for (int t = work.hi[query]; t < kSpanTokens; ++t) scores[t] = kHidden;

  const V scale = hn::Set(d, work.scale);
  V max = hn::Set(d, work.max[query]);
  for (int t = 0; t < kSpanTokens; t += kLanes) {
    const V score = hn::Mul(hn::Load(d, scores + t), scale);
    hn::Store(score, d, scores + t);
    max = hn::Max(max, score);
  }
  const float old_max = work.max[query];
  const float new_max = hn::GetLane(hn::MaxOfLanes(d, max));
  if (new_max != old_max && work.sum[query] != 0.0f) {
    const float factor = hn::GetLane(hn::Exp(d, hn::Set(d, old_max - new_max)));
    work.sum[query] *= factor;
    float* out = work.out + query * work.out_stride;
    for (int64_t i = 0; i < work.out_stride; i += kLanes) {
      hn::Store(hn::Mul(hn::Load(d, out + i), hn::Set(d, factor)), d, out + i);
    }
  }
  work.max[query] = new_max;
  V sum = hn::Zero(d);
  for (int t = 0; t < kSpanTokens; t += kLanes) {
    const V exponent = hn::Sub(hn::Load(d, scores + t), hn::Set(d, new_max));
    // Exp() makes a NaN 0: a broken key would pass for an unimportant one.
    const V weight = hn::IfThenElse(hn::IsNaN(exponent), exponent, hn::Exp(d, exponent));
    hn::Store(weight, d, scores + t);
    sum = hn::Add(sum, weight);
  }
  work.sum[query] += hn::GetLane(hn::SumOfLanes(d, sum));
}

// out[i][begin ..] += weights[i] values over the tokens [lo, hi), one chain of multiply-adds in the order of
// the tokens for each element. kVectors vectors at once, or the row's last `part` elements.
template <int kQueries, int kVectors, bool kPart, bool kFetch, typename T>
void AddValueVectors(const Work<T>& work, int query, int lo, int hi, int64_t begin,
                     [[maybe_unused]] int64_t part) {
  const D d;
  V sum[kQueries][kVectors];
  float* out = work.out + query * work.out_stride + begin;
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] =
        hn::Load(d, out + i * work.out_stride + v * kLanes);
  }
  const float* weights = work.scores + query * kSpanTokens;
  for (int token = lo; token < hi;) {
    const T* values =
        work.values[token / kKvBlockTokens] + token % kKvBlockTokens * work.value_stride + begin;
    const T* next =
        work.next_values[token / kKvBlockTokens] + token % kKvBlockTokens * work.value_stride + begin;
    const int end = HWY_MIN(hi, (token / kKvBlockTokens + 1) * kKvBlockTokens);
    for (; token < end; ++token, values += work.value_stride, next += work.value_stride) {
      if constexpr (kFetch) {
        constexpr int kLine = 64 / sizeof(T);
        for (int line = 0; line < kVectors * kLanes; line += kLine) hwy::Prefetch(next + line);
      }
      V value[kVectors];
      GH_UNROLL for (int v = 0; v < kVectors; ++v) {
        if constexpr (kPart) {
          value[v] = LoadWidePart(values + v * kLanes, part);
        } else {
          value[v] = LoadWide(values + v * kLanes);
        }
      }
      GH_UNROLL for (int i = 0; i < kQueries; ++i) {
        const V weight = hn::Set(d, weights[i * kSpanTokens + token]);
        GH_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(weight, value[v], sum[i][v]);
      }
    }
  }
  GH_UNROLL for (int i = 0; i < kQueries; ++i) {
    GH_UNROLL for (int v = 0; v < kVectors; ++v)
        hn::Store(sum[i][v], d, out + i * work.out_stride + v * kLanes);
  }
}

template <int kQueries, typename T>
void AddValues(const Work<T>& work, int query, int lo, int hi, int64_t begin, int64_t end) {
  constexpr int kVectors = HWY_MIN(8, kAccumulators / kQueries);
  if (hi <= lo) return;
  for (; begin + kVectors * kLanes <= end; begin += kVectors * kLanes) {
    if (query == 0) {
      AddValueVectors<kQueries, kVectors, false, true>(work, query, lo, hi, begin, 0);
    } else {
      AddValueVectors<kQueries, kVectors, false, false>(work, query, lo, hi, begin, 0);
    }
  }
  for (; begin + kLanes <= end; begin += kLanes) {
    AddValueVectors<kQueries, 1, false, false>(work, query, lo, hi, begin, 0);
  }
  if (begin < end) AddValueVectors<kQueries, 1, true, false>(work, query, lo, hi, begin, end - begin);
}

// The tokens that all of the queries see in one go, those of single queries before and after: ascending for
// each.
template <int kQueries, typename T>
void AddQueryValues(const Work<T>& work, int query, int64_t begin, int64_t end) {
  if constexpr (kQueries == 1) {
    AddValues<1>(work, query, work.lo[query], work.hi[query], begin, end);
  } else {
    int lo = 0, hi = kSpanTokens;
    for (int i = query; i < query + kQueries; ++i) {
      lo = HWY_MAX(lo, work.lo[i]);
      hi = HWY_MIN(hi, work.hi[i]);
    }
    hi = HWY_MAX(lo, hi);
    for (int i = query; i < query + kQueries; ++i) {
      AddValues<1>(work, i, work.lo[i], HWY_MIN(lo, work.hi[i]), begin, end);
    }
    AddValues<kQueries>(work, query, lo, hi, begin, end);
    for (int i = query; i < query + kQueries; ++i) {
      AddValues<1>(work, i, HWY_MAX(hi, work.lo[i]), work.hi[i], begin, end);
    }
  }
}

// Where the span's keys and values are, and what each query sees of it.
template <typename T>
void LookAtSpan(const AttentionArgs& args, const AttentionTile& tile, const KvLayout& layout, int64_t span,
                Work<T>& work) {
  const int64_t begin = span * kSpanTokens;
  for (int i = 0; i < work.queries; ++i) {
    work.lo[i] = static_cast<int>(HWY_MIN(int64_t{kSpanTokens}, HWY_MAX(int64_t{0}, work.first[i] - begin)));
    work.hi[i] =
        static_cast<int>(HWY_MAX(int64_t{0}, HWY_MIN(int64_t{kSpanTokens}, work.position[i] + 1 - begin)));
  }
  const int64_t first_block = work.first[0] / kKvBlockTokens;
  const int64_t last_block = work.position[work.queries - 1] / kKvBlockTokens;
  const int32_t* table = args.block_table + args.sequence[tile.row] * args.max_blocks;
  const auto find = [&](int64_t block) -> const T* {
    if (block < first_block || block > last_block) return nullptr;
    return reinterpret_cast<const T*>(static_cast<const std::byte*>(args.cache) +
                                      static_cast<size_t>(table[block]) * layout.block +
                                      static_cast<size_t>(tile.kv_head) * layout.head);
  };
  const size_t values = layout.values / sizeof(T);
  for (int b = 0; b < kSpanBlocks; ++b) {
    const int64_t block = span * kSpanBlocks + b;
    work.keys[b] = find(block);
    work.values[b] = work.keys[b] == nullptr ? nullptr : work.keys[b] + values;
    work.next_keys[b] = block + kSpanBlocks > last_block ? work.keys[b] : find(block + kSpanBlocks);
    work.next_values[b] = work.next_keys[b] == nullptr ? nullptr : work.next_keys[b] + values;
  }
}

// Keys outermost in the first part, elements of the values in the last: each is read from memory once for all
// queries.
template <bool kLatent, typename T>
void AttendSpan(Work<T>& work) {
  int i = 0;
  for (; i + kGroup <= work.queries; i += kGroup) ScoreQueries<kGroup, kLatent>(work, i);
  if constexpr (kGroup > 2) {
    for (; i + 2 <= work.queries; i += 2) ScoreQueries<2, kLatent>(work, i);
  }
  for (; i < work.queries; ++i) ScoreQueries<1, kLatent>(work, i);

  for (i = 0; i < work.queries; ++i) {
    if (work.lo[i] < work.hi[i]) WeighQuery(work, i);
  }

  constexpr int64_t kChunk = 8 * kLanes;
  for (int64_t begin = 0; begin < work.value_dim; begin += kChunk) {
    const int64_t end = HWY_MIN(begin + kChunk, work.value_dim);
    i = 0;
    for (; i + kGroup <= work.queries; i += kGroup) AddQueryValues<kGroup>(work, i, begin, end);
    if constexpr (kGroup > 2) {
      for (; i + 2 <= work.queries; i += 2) AddQueryValues<2>(work, i, begin, end);
    }
    for (; i < work.queries; ++i) AddQueryValues<1>(work, i, begin, end);
  }
}

template <bool kLatent, typename T>
void Attend(const AttentionArgs& args, const AttentionTile& tile, float* scratch) {
  const KvLayout layout(args.shape);
  Work<T> work{};
  work.queries = static_cast<int>(tile.rows * tile.heads);
  work.key_dim = args.shape.key_dim;
  work.value_dim = args.shape.value_dim;
  work.value_stride = kLatent ? work.key_dim : work.value_dim;
  work.scale = args.scale;
  work.scores = scratch;
  work.out = scratch + work.queries * kSpanTokens;
  work.out_stride = AttentionQueryFloats(args.shape) - kSpanTokens;
  std::memset(work.out, 0, static_cast<size_t>(work.queries * work.out_stride) * sizeof(float));
  for (int i = 0; i < work.queries; ++i) {
    const int64_t row = tile.row + i / tile.heads;
    work.q[i] = args.q + row * args.q_stride + (tile.head + i % tile.heads) * args.shape.key_dim;
    work.position[i] = args.position[row];
    work.first[i] = args.window == 0 ? 0 : HWY_MAX(int64_t{0}, work.position[i] - args.window + 1);
    work.max[i] = -std::numeric_limits<float>::infinity();
    work.sum[i] = 0.0f;
  }

  const int64_t last_span = work.position[work.queries - 1] / kSpanTokens;
  for (int64_t span = work.first[0] / kSpanTokens; span <= last_span; ++span) {
    LookAtSpan(args, tile, layout, span, work);
    AttendSpan<kLatent>(work);
  }

  for (int i = 0; i < work.queries; ++i) {
    const int64_t row = tile.row + i / tile.heads;
    float* y = args.y + row * args.y_stride + (tile.head + i % tile.heads) * work.value_dim;
    const float* out = work.out + i * work.out_stride;
    const float inverse = 1.0f / work.sum[i];
    for (int64_t e = 0; e < work.value_dim; ++e) y[e] = out[e] * inverse;
  }
}

void AttendF32(const AttentionArgs& args, const AttentionTile& tile, float* scratch) {
  Attend<false, float>(args, tile, scratch);
}
void AttendBF16(const AttentionArgs& args, const AttentionTile& tile, float* scratch) {
  Attend<false, uint16_t>(args, tile, scratch);
}
void AttendLatentF32(const AttentionArgs& args, const AttentionTile& tile, float* scratch) {
  Attend<true, float>(args, tile, scratch);
}
void AttendLatentBF16(const AttentionArgs& args, const AttentionTile& tile, float* scratch) {
  Attend<true, uint16_t>(args, tile, scratch);
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(AttendF32);
HWY_EXPORT(AttendBF16);
HWY_EXPORT(AttendLatentF32);
HWY_EXPORT(AttendLatentBF16);

AttendFunction ChooseAttend(const KvShape& shape, Isa isa) {
  if (shape.value_in_key) {
    return shape.format == KvFormat::kF32 ? GH_SIMD(AttendLatentF32, isa) : GH_SIMD(AttendLatentBF16, isa);
  }
  return shape.format == KvFormat::kF32 ? GH_SIMD(AttendF32, isa) : GH_SIMD(AttendBF16, isa);
}

}  // namespace guildhall
#endif  // HWY_ONCE
