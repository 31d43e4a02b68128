#include "kernels/cpu/gate_row.h"

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gate_row.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "hwy/contrib/math/math-inl.h"

#include <cstring>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));
constexpr float kLowest = -std::numeric_limits<float>::infinity();

// Exp() makes a NaN 0 and is undefined above 104, where the result is infinite anyway.
HWY_INLINE V SafeExp(V x) {
  const D d;
  const V limit = hn::Set(d, 104.0f);
  const V capped = hn::IfThenElse(hn::Gt(x, limit), limit, x);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, capped));
}

float MaxOf(const float* values, int64_t padded) {
  const D d;
  V best = hn::Set(d, kLowest);
  for (int64_t i = 0; i < padded; i += kLanes) best = hn::Max(best, hn::Load(d, values + i));
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

// In place over `padded` numbers, of which the last ones are -infinity.
void Softmax(float* values, int64_t padded) {
  const D d;
  const V max = hn::Set(d, MaxOf(values, padded));
  V sum = hn::Zero(d);
  for (int64_t i = 0; i < padded; i += kLanes) {
    const V e = SafeExp(hn::Sub(hn::Load(d, values + i), max));
    hn::Store(e, d, values + i);
    sum = hn::Add(sum, e);
  }
  const V total = hn::SumOfLanes(d, sum);
  for (int64_t i = 0; i < padded; i += kLanes) {
    hn::Store(hn::Div(hn::Load(d, values + i), total), d, values + i);
  }
}

void Sigmoid(float* values, int64_t padded) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  for (int64_t i = 0; i < padded; i += kLanes) {
    const V e = SafeExp(hn::Neg(hn::Load(d, values + i)));
    hn::Store(hn::Div(one, hn::Add(one, e)), d, values + i);
  }
}

// What the selection compares: score + bias, no NaN, -infinity behind the end.
void MakeKeys(const float* scores, const float* bias, int64_t experts, float* keys) {
  for (int64_t i = 0; i < experts; ++i) {
    const float key = bias == nullptr ? scores[i] : scores[i] + bias[i];
    keys[i] = key != key ? kLowest : key;
  }
  for (int64_t i = experts; i < GatePaddedExperts(experts); ++i) keys[i] = kLowest;
}

// The place of the greatest key, the first among equals, -1 if all are -infinity.
int64_t BestKey(const float* keys, int64_t padded) {
  const D d;
  const float best = MaxOf(keys, padded);
  if (best == kLowest) return -1;
  const V wanted = hn::Set(d, best);
  for (int64_t i = 0; i < padded; i += kLanes) {
    const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(hn::Load(d, keys + i), wanted));
    if (lane >= 0) return i + lane;
  }
  return -1;
}

float RankGroup(const float* keys, int64_t size, GateSpec::GroupScore rule) {
  float best = kLowest, second = kLowest;
  for (int64_t i = 0; i < size; ++i) {
    if (keys[i] > best) {
      second = best;
      best = keys[i];
    } else if (keys[i] > second) {
      second = keys[i];
    }
  }
  return rule == GateSpec::GroupScore::kMax ? best : best + second;
}

// Takes the groups that are not kept out of the selection.
void LimitGroups(const GateSpec& gate, float* keys, float* ranks) {
  constexpr float kRanked = std::numeric_limits<float>::lowest();
  const int64_t size = gate.experts / gate.groups;
  const int64_t padded = GatePaddedExperts(gate.groups);
  for (int64_t g = 0; g < padded; ++g) {
    ranks[g] = kLowest;
    if (g >= gate.groups) continue;
    const float rank = RankGroup(keys + g * size, size, gate.group_score);
    ranks[g] = rank > kRanked ? rank : kRanked;
  }
  // The kept groups leave the ranks, so what is still ranked afterwards is not kept.
  for (int kept = 0; kept < gate.groups_kept; ++kept) {
    ranks[BestKey(ranks, padded)] = kLowest;
  }
  for (int64_t g = 0; g < gate.groups; ++g) {
    if (ranks[g] == kLowest) continue;
    for (int64_t i = g * size; i < (g + 1) * size; ++i) keys[i] = kLowest;
  }
}

void GateRow(const GateSpec& gate, const float* logits, const float* bias, float* scratch, int32_t* expert,
             float* weight) {
  const int64_t padded = GatePaddedExperts(gate.experts);
  float* scores = scratch;
  float* keys = scratch + padded;
  float* ranks = scratch + 2 * padded;
  std::memcpy(scores, logits, static_cast<size_t>(gate.experts) * sizeof(float));
  for (int64_t i = gate.experts; i < padded; ++i) scores[i] = kLowest;
  if (gate.activation == GateSpec::Activation::kSoftmaxAll) Softmax(scores, padded);
  if (gate.activation == GateSpec::Activation::kSigmoid) Sigmoid(scores, padded);

  MakeKeys(scores, bias, gate.experts, keys);
  if (gate.selection == GateSpec::Selection::kGroupLimitedTopK) LimitGroups(gate, keys, ranks);
  for (int j = 0; j < gate.k; ++j) {
    int64_t best = BestKey(keys, padded);
    if (best < 0) {
      // Nothing but -infinity left (a broken row): the lowest id that is not taken.
      best = 0;
      for (int taken = 0; taken < j; ++taken) {
        if (expert[taken] == best) ++best, taken = -1;
      }
    }
    keys[best] = kLowest;
    expert[j] = static_cast<int32_t>(best);
    weight[j] = scores[best];
  }

  if (gate.activation == GateSpec::Activation::kSoftmaxSelected) {
    const int64_t selected = GatePaddedExperts(gate.k);
    for (int64_t j = 0; j < selected; ++j) keys[j] = j < gate.k ? weight[j] : kLowest;
    Softmax(keys, selected);
    std::memcpy(weight, keys, static_cast<size_t>(gate.k) * sizeof(float));
  }
  if (gate.normalize) {
    float sum = 0.0f;
    for (int j = 0; j < gate.k; ++j) sum += weight[j];
    for (int j = 0; j < gate.k; ++j) weight[j] /= sum + gate.epsilon;
  }
  for (int j = 0; j < gate.k; ++j) weight[j] *= gate.scale;
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(GateRow);

GateRowFunction ChooseGateRow(Isa isa) {
  return GH_SIMD(GateRow, isa);
}

}  // namespace guildhall
#endif  // HWY_ONCE
