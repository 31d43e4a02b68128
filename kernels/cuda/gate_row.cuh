// The gate of one row by one warp: scores to selected experts and their weights, by the rule of a GateSpec.
// Descending, the lower id first among equals. A NaN ranks below every number and stays a NaN weight.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/math.h"
#include "kernels/cuda/warp.cuh"
#include "kernels/gate_spec.h"

namespace guildhall::cuda {

// Shared memory of a warp. Lane i owns elements i, i + 32, ... of arrays of experts, groups and choices.
struct GateMemory {
  float* scores;    // (experts) activated
  float* keys;      // (experts) what the selection compares; -infinity: out of it
  float* ranks;     // (groups)
  float* weight;    // (k)
  int32_t* expert;  // (k)
};

__host__ __device__ inline int GateFloats(const GateSpec& gate) {
  return 2 * gate.experts + gate.groups + 2 * gate.k;
}

__device__ inline GateMemory DivideGateMemory(const GateSpec& gate, float* memory) {
  GateMemory m;
  m.scores = memory;
  m.keys = m.scores + gate.experts;
  m.ranks = m.keys + gate.experts;
  m.weight = m.ranks + gate.groups;
  m.expert = reinterpret_cast<int32_t*>(m.weight + gate.k);
  return m;
}

__device__ inline float Lowest() {
  return __uint_as_float(0xff800000u);
}

// In place. Sums of lanes first, then of the warp.
__device__ inline void GateSoftmax(float* values, int count, int lane) {
  float best = Lowest();
  for (int i = lane; i < count; i += kWarpLanes) best = values[i] > best ? values[i] : best;
  best = WarpMax(best);
  float sum = 0.0f;
  for (int i = lane; i < count; i += kWarpLanes) {
    values[i] = Exp(values[i] - best);
    sum += values[i];
  }
  sum = WarpSum(sum);
  for (int i = lane; i < count; i += kWarpLanes) values[i] = __fdiv_rn(values[i], sum);
}

// The place of the greatest key, the first among equals, -1 if all are -infinity. Keys are no NaN.
__device__ inline int BestKey(const float* keys, int count, int lane) {
  float best = Lowest();
  int place = -1;
  for (int i = lane; i < count; i += kWarpLanes) {
    if (keys[i] > best) {
      best = keys[i];
      place = i;
    }
  }
  for (int step = kWarpLanes / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kWholeWarp, best, step);
    const int other_place = __shfl_xor_sync(kWholeWarp, place, step);
    const bool first = static_cast<unsigned>(other_place) < static_cast<unsigned>(place);  // -1 is the last
    if (other > best || (other == best && first)) {
      best = other;
      place = other_place;
    }
  }
  return place;
}

__device__ inline float RankGroup(const float* keys, int size, GateSpec::GroupScore rule) {
  float best = Lowest(), second = Lowest();
  for (int i = 0; i < size; ++i) {
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
__device__ inline void LimitGroups(const GateSpec& gate, const GateMemory& m, int lane) {
  const float least_ranked = __uint_as_float(0xff7fffffu);  // the lowest finite number
  const int size = gate.experts / gate.groups;
  __syncwarp();
  for (int g = lane; g < gate.groups; g += kWarpLanes) {
    const float rank = RankGroup(m.keys + g * size, size, gate.group_score);
    m.ranks[g] = rank > least_ranked ? rank : least_ranked;
  }
  // The kept groups leave the ranks, so what is still ranked afterwards is not kept.
  for (int kept = 0; kept < gate.groups_kept; ++kept) {
    const int best = BestKey(m.ranks, gate.groups, lane);
    if (best % kWarpLanes == lane) m.ranks[best] = Lowest();
  }
  __syncwarp();
  for (int i = lane; i < gate.experts; i += kWarpLanes) {
    if (m.ranks[i / size] != Lowest()) m.keys[i] = Lowest();
  }
}

// The lowest id that none of the first j choices has.
__device__ inline int LowestNotTaken(const int32_t* expert, int j) {
  int id = 0;
  for (int taken = 0; taken < j; ++taken) {
    if (expert[taken] != id) continue;
    ++id;
    taken = -1;
  }
  return id;
}

__device__ inline void SelectExperts(const GateSpec& gate, const GateMemory& m, int lane) {
  for (int j = 0; j < gate.k; ++j) {
    __syncwarp();
    int best = BestKey(m.keys, gate.experts, lane);
    // Nothing but -infinity left: a broken row.
    if (best < 0) best = LowestNotTaken(m.expert, j);
    if (best % kWarpLanes == lane) m.keys[best] = Lowest();
    if (j % kWarpLanes != lane) continue;
    m.expert[j] = best;
    m.weight[j] = m.scores[best];
  }
  __syncwarp();
}

__device__ inline void FinishWeights(const GateSpec& gate, const GateMemory& m, int lane) {
  if (gate.activation == GateSpec::Activation::kSoftmaxSelected) GateSoftmax(m.weight, gate.k, lane);
  __syncwarp();
  float total = 1.0f;
  if (gate.normalize) {
    float sum = 0.0f;
    for (int j = 0; j < gate.k; ++j) sum += m.weight[j];
    total = sum + gate.epsilon;
    __syncwarp();
  }
  for (int j = lane; j < gate.k; j += kWarpLanes) {
    m.weight[j] = (gate.normalize ? __fdiv_rn(m.weight[j], total) : m.weight[j]) * gate.scale;
  }
}

// Warp. `logits` (experts), `bias` (experts) or null. Lane j % 32 finds choice j in the memory afterwards.
__device__ inline void GateRow(const GateSpec& gate, const float* logits, const float* bias,
                               const GateMemory& m, int lane) {
  for (int i = lane; i < gate.experts; i += kWarpLanes) m.scores[i] = logits[i];
  if (gate.activation == GateSpec::Activation::kSoftmaxAll) GateSoftmax(m.scores, gate.experts, lane);
  for (int i = lane; i < gate.experts; i += kWarpLanes) {
    if (gate.activation == GateSpec::Activation::kSigmoid) m.scores[i] = Sigmoid(m.scores[i]);
    const float key = bias == nullptr ? m.scores[i] : m.scores[i] + bias[i];
    m.keys[i] = key != key ? Lowest() : key;
  }
  if (gate.selection == GateSpec::Selection::kGroupLimitedTopK) LimitGroups(gate, m, lane);
  SelectExperts(gate, m, lane);
  FinishWeights(gate, m, lane);
}

}  // namespace guildhall::cuda
