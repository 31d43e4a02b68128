// The softmax of attention, span by span and part by part; codes to numbers.
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_softmax.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "hwy/cache_control.h"
#include "hwy/contrib/math/math-inl.h"
#include "kernels/cpu/attention_simd-inl.h"

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {

// Exp() makes a NaN 0: a broken key would pass for an unimportant one.
HWY_INLINE V ExpOrNaN(V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(D(), x));
}

float ExpOf(float x) {
  return hn::GetLane(ExpOrNaN(hn::Set(D(), x)));
}

// Raw scores to scores: the model's scale and those of int8 keys; what the query does not see to -infinity.
void ScaleScores(const AttentionWork& work, int query) {
  const D d;
  float* scores = work.scores + query * kSpanTokens;
  const V scale = hn::Set(d, work.scale);
  for (int t = 0; t < kSpanTokens; t += kLanes) {
    V score = hn::Load(d, scores + t);
    const int block = t / kKvBlockTokens, token = t % kKvBlockTokens;
    if (work.key_scale[block] != nullptr) {
      score = hn::Mul(score, hn::LoadU(d, work.key_scale[block] + token));
      if (work.rotary_scores != nullptr) {
        const V rotary = hn::Load(d, work.rotary_scores + query * kSpanTokens + t);
        score = hn::MulAdd(rotary, hn::LoadU(d, work.rotary_scale[block] + token), score);
      }
    }
    hn::Store(hn::Mul(score, scale), d, scores + t);
  }
  const float kHidden = -std::numeric_limits<float>::infinity();
  for (int t = 0; t < work.lo[query]; ++t) scores[t] = kHidden;
  for (int t = work.hi[query]; t < kSpanTokens; ++t) scores[t] = kHidden;
}

// int8: the values' scales go into the weights. Tokens out of sight may have none.
void ScaleWeights(const AttentionWork& work, int query) {
  const D d;
  float* weights = work.scores + query * kSpanTokens;
  for (int t = 0; t < kSpanTokens; t += kLanes) {
    const float* scale = work.value_scale[t / kKvBlockTokens];
    if (scale == nullptr) continue;
    const V scaled = hn::Mul(hn::Load(d, weights + t), hn::LoadU(d, scale + t % kKvBlockTokens));
    hn::Store(scaled, d, weights + t);
  }
  for (int t = 0; t < work.lo[query]; ++t) weights[t] = 0.0f;
  for (int t = work.hi[query]; t < kSpanTokens; ++t) weights[t] = 0.0f;
}

// A state relative to a maximum that is greater by -`exponent`.
void Rescale(float* state, float exponent, int64_t value_dim) {
  const D d;
  const V factor = hn::Exp(d, hn::Set(d, exponent));
  state[1] *= hn::GetLane(factor);
  for (int64_t i = kStateOut; i < kStateOut + value_dim; i += kLanes) {
    hn::Store(hn::Mul(hn::Load(d, state + i), factor), d, state + i);
  }
}

void Weigh(const AttentionWork& work, int query) {
  constexpr int kVectors = kSpanTokens / kLanes;
  const D d;
  const bool plain = !work.quantized && work.lo[query] == 0 && work.hi[query] == kSpanTokens;
  if (!plain) ScaleScores(work, query);
  const V scale = hn::Set(d, plain ? work.scale : 1.0f);
  float* scores = work.scores + query * kSpanTokens;
  float* state = work.State(query);
  const float old_max = state[0];
  V score[kVectors];
  V max = hn::Set(d, old_max);
  GH_UNROLL for (int v = 0; v < kVectors; ++v) {
    score[v] = hn::Mul(hn::Load(d, scores + v * kLanes), scale);
    max = hn::Max(max, score[v]);
  }
  const float new_max = hn::GetLane(hn::MaxOfLanes(d, max));
  if (new_max != old_max && state[1] != 0.0f) Rescale(state, old_max - new_max, work.value_dim);
  state[0] = new_max;
  V sum = hn::Zero(d);
  GH_UNROLL for (int v = 0; v < kVectors; ++v) {
    const V weight = ExpOrNaN(hn::Sub(score[v], hn::Set(d, new_max)));
    hn::Store(weight, d, scores + v * kLanes);
    sum = hn::Add(sum, weight);
  }
  state[1] += hn::GetLane(hn::SumOfLanes(d, sum));
  if (work.quantized) ScaleWeights(work, query);
}

void Merge(float* total, const float* part, int64_t value_dim) {
  const D d;
  const float max = HWY_MAX(total[0], part[0]);
  const float a = ExpOf(total[0] - max), b = ExpOf(part[0] - max);
  total[0] = max;
  total[1] = total[1] * a + part[1] * b;
  for (int64_t i = kStateOut; i < kStateOut + value_dim; i += kLanes) {
    const V kept = hn::Mul(hn::Load(d, total + i), hn::Set(d, a));
    hn::Store(hn::MulAdd(hn::Load(d, part + i), hn::Set(d, b), kept), d, total + i);
  }
}

void Finish(const float* state, int64_t value_dim, float* y) {
  const D d;
  const float inverse = 1.0f / state[1];
  const float* out = state + kStateOut;
  int64_t i = 0;
  for (; i + kLanes <= value_dim; i += kLanes) {
    hn::StoreU(hn::Mul(hn::Load(d, out + i), hn::Set(d, inverse)), d, y + i);
  }
  for (; i < value_dim; ++i) y[i] = out[i] * inverse;
}

// Every code is a bf16 number. Codes of a pair become the halves of a lane.
void Expand(const int8_t* codes, int64_t count, uint16_t* to, [[maybe_unused]] const int8_t* next) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < count; ++i) to[i] = FloatToBF16(codes[i]);
#else
  const hn::CappedTag<int16_t, kKvBlockTokens> d16;
  const hn::Rebind<int8_t, decltype(d16)> d8;
  const hn::Repartition<int32_t, decltype(d16)> di;
  const hn::Repartition<uint32_t, decltype(d16)> du;
  const hn::Repartition<uint16_t, decltype(d16)> du16;
  const hn::Repartition<float, decltype(d16)> d;
  constexpr int64_t kStep = hn::MaxLanes(d16);
  for (int64_t i = 0; i < count; i += kStep) {
    if (i % 64 == 0) hwy::Prefetch(next + i);
    const auto pairs = hn::BitCast(di, hn::PromoteTo(d16, hn::LoadU(d8, codes + i)));
    const auto first = hn::ConvertTo(d, hn::ShiftRight<16>(hn::ShiftLeft<16>(pairs)));
    const auto second = hn::ConvertTo(d, hn::ShiftRight<16>(pairs));
    const auto both = hn::Or(hn::ShiftRight<16>(hn::BitCast(du, first)),
                             hn::And(hn::BitCast(du, second), hn::Set(du, 0xffff0000u)));
    hn::StoreU(hn::BitCast(du16, both), du16, to + i);
  }
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(Weigh);
HWY_EXPORT(Merge);
HWY_EXPORT(Finish);
HWY_EXPORT(Expand);

void ChooseSoftmax(Isa isa, AttentionKernels& kernels) {
  kernels.weigh = GH_SIMD(Weigh, isa);
  kernels.merge = GH_SIMD(Merge, isa);
  kernels.finish = GH_SIMD(Finish, isa);
  kernels.expand = GH_SIMD(Expand, isa);
}

}  // namespace guildhall
#endif  // HWY_ONCE
