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

void Weigh(const AttentionWork& work, int query) {
  const D d;
  ScaleScores(work, query);
  float* scores = work.scores + query * kSpanTokens;
  float* state = work.State(query);
  const float old_max = state[0];
  V max = hn::Set(d, old_max);
  for (int t = 0; t < kSpanTokens; t += kLanes) max = hn::Max(max, hn::Load(d, scores + t));
  const float new_max = hn::GetLane(hn::MaxOfLanes(d, max));
  if (new_max != old_max && state[1] != 0.0f) {
    const float factor = hn::GetLane(hn::Exp(d, hn::Set(d, old_max - new_max)));
    state[1] *= factor;
    for (int64_t i = kStateOut; i < kStateOut + work.value_dim; i += kLanes) {
      hn::Store(hn::Mul(hn::Load(d, state + i), hn::Set(d, factor)), d, state + i);
    }
  }
  state[0] = new_max;
  V sum = hn::Zero(d);
  for (int t = 0; t < kSpanTokens; t += kLanes) {
    const V weight = ExpOrNaN(hn::Sub(hn::Load(d, scores + t), hn::Set(d, new_max)));
    hn::Store(weight, d, scores + t);
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

// Every code is a bf16 number.
void Expand(const int8_t* codes, int64_t count, uint16_t* to, const int8_t* next) {
  const hn::RebindToSigned<D> di;
  const hn::Rebind<int8_t, D> di8;
  const hn::Rebind<uint16_t, D> du16;
  for (int64_t i = 0; i < count; i += kKvBlockTokens) {
    if (i % 64 == 0) hwy::Prefetch(next + i);
    GH_UNROLL for (int j = 0; j < kKvBlockTokens; j += kLanes) {
      const auto number = hn::ConvertTo(D(), hn::PromoteTo(di, hn::LoadU(di8, codes + i + j)));
      const hn::RebindToUnsigned<D> du;
      const auto bits = hn::ShiftRight<16>(hn::BitCast(du, number));
      hn::StoreU(hn::DemoteTo(du16, hn::BitCast(di, bits)), du16, to + i + j);
    }
  }
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
