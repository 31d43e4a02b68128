#include "kernels/cuda/gate_row.cuh"
#include "kernels/cuda/group_by_slot.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/gate_checks.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;
constexpr int kScoreRows = 4;                          // that a block scores
constexpr int kScoreParts = kThreads / kStripOutputs;  // of a sum
constexpr int kScoreFloats = kScoreParts * kScoreRows * kStripOutputs;
static_assert(kScoreRows * kStripOutputs == kThreads);
// Up to here the last block to end gates and groups all rows: one launch.
constexpr int64_t kOneLaunchRows = 64, kOneLaunchEntries = 1024;

// Part p of a sum: tiles p, p + kScoreParts, ... of k, ascending.
__device__ void SumPart(const RouteArgs& args, const TileLayout& layout, int64_t first_row, int strip,
                        int output, int part, float (&sums)[kScoreRows]) {
  const int outputs = layout.StripOutputs(strip), step = TileK(WeightFormat::kF32);
  if (output >= outputs) return;
  const auto* w = reinterpret_cast<const float*>(args.w.data + layout.StripOffset(strip)) + output;
  const float* x[kScoreRows];
#pragma unroll
  for (int r = 0; r < kScoreRows; ++r) x[r] = args.x + min(first_row + r, args.rows - 1) * args.x_stride;
  for (int64_t tile = part; tile < layout.tiles(); tile += kScoreParts) {
    const int64_t end = min((tile + 1) * step, layout.in);
    for (int64_t k = tile * step; k < end; ++k) {
      const float weight = w[k * outputs];
#pragma unroll
      for (int r = 0; r < kScoreRows; ++r) sums[r] = __fmaf_rn(weight, x[r][k], sums[r]);
    }
  }
}

// Block (row group, strip): scores of a few rows for 64 experts. The order of a sum depends on the width of a
// row alone.
__device__ void ScoreBlock(const RouteArgs& args, float* scores, float* shared) {
  const TileLayout layout{WeightFormat::kF32, 1, args.w.out, args.w.in};
  const int thread = static_cast<int>(threadIdx.x), strip = static_cast<int>(blockIdx.y);
  const int output = thread % kStripOutputs, share = thread / kStripOutputs;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kScoreRows;
  float sums[kScoreRows] = {};
  SumPart(args, layout, first_row, strip, output, share, sums);
#pragma unroll
  for (int r = 0; r < kScoreRows; ++r) shared[(share * kScoreRows + r) * kStripOutputs + output] = sums[r];
  __syncthreads();
  // From here on a thread has one row.
  float sum = 0.0f;
  for (int p = 0; p < kScoreParts; ++p) sum += shared[(p * kScoreRows + share) * kStripOutputs + output];
  const int64_t row = first_row + share, expert = static_cast<int64_t>(strip) * kStripOutputs + output;
  if (row < args.rows && expert < args.w.out) scores[row * args.w.out + expert] = sum;
}

// Warp. Choices of one row and where its set sends them.
__device__ void ChooseRow(const RouteArgs& args, const float* scores, int64_t row, float* memory) {
  const GateSpec& gate = args.gate;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const bool takes_part = args.kv_place == nullptr || args.kv_place[row] >= 0;
  const GateMemory m = DivideGateMemory(gate, memory);
  if (takes_part) GateRow(gate, scores + row * gate.experts, args.selection_bias, m, lane);
  const int32_t set = args.sets.tables == nullptr ? -1 : args.sets.set[row];
  const int32_t* map = set < 0 ? nullptr : args.sets.tables[set].expert_maps[args.expert_map];
  for (int j = lane; j < gate.k; j += kWarpLanes) {
    const int32_t expert = takes_part ? m.expert[j] : -1;
    const int32_t slot = expert < 0 || map == nullptr ? expert : map[expert];
    args.expert[row * gate.k + j] = expert;
    args.slot[row * gate.k + j] = slot;
    args.weight[row * gate.k + j] = slot < 0 ? 0.0f : m.weight[j];
  }
  __syncwarp();
}

__device__ float* MemoryOfWarp(const GateSpec& gate) {
  return reinterpret_cast<float*>(DynamicShared()) +
         static_cast<int>(threadIdx.x) / kWarpLanes * GateFloats(gate);
}

__global__ void ScoreRows(RouteArgs args, float* scores) {
  ScoreBlock(args, scores, reinterpret_cast<float*>(DynamicShared()));
}

__global__ void ChooseRows(RouteArgs args, const float* scores) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpLanes;
  if (row < args.rows) ChooseRow(args, scores, row, MemoryOfWarp(args.gate));
}

// Every block scores; the one that ends last does the rest. `arrived` is 0 before and after.
__global__ void RouteAtOnce(RouteArgs args, SlotGroups groups, float* scores, int32_t* arrived) {
  auto* shared = reinterpret_cast<float*>(DynamicShared());
  ScoreBlock(args, scores, shared);
  __threadfence();  // the scores are there before this block has arrived
  __syncthreads();
  auto* before = reinterpret_cast<int32_t*>(shared);
  if (threadIdx.x == 0) *before = atomicAdd(arrived, 1);
  __syncthreads();
  const bool last = *before == static_cast<int32_t>(gridDim.x * gridDim.y) - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  if (threadIdx.x == 0) *arrived = 0;
  for (int64_t row = threadIdx.x / kWarpLanes; row < args.rows; row += kWarps) {
    ChooseRow(args, scores, row, MemoryOfWarp(args.gate));
  }
  __syncthreads();
  GroupSlots(groups, threadIdx.x, kThreads);
}

}  // namespace

cudaError_t RouteOp(const RouteArgs& args, const Context& context) {
  CheckGate(args.gate);
  GH_CHECK_EQ(args.w.out, int64_t{args.gate.experts});
  GH_CHECK_LE(int64_t{args.gate.experts}, args.slots);
  GH_CHECK_EQ(args.gate.selection_bias, args.selection_bias != nullptr);
  GH_CHECK(args.w.format == WeightFormat::kF32);
  const int64_t entries = args.rows * args.gate.k;
  const SlotGroups groups{args.slot, entries, args.slots, args.group_begin, args.group_entry};
  if (args.rows == 0) return LaunchGroupBySlot(groups, context);

  const size_t gate_bytes = static_cast<size_t>(kWarps * GateFloats(args.gate)) * sizeof(float);
  LaunchShape shape{.grid = dim3(static_cast<unsigned>(DivideUp(args.rows, kScoreRows)),
                                 static_cast<unsigned>(DivideUp(args.w.out, kStripOutputs))),
                    .block = dim3(kThreads),
                    .shared_bytes = kScoreFloats * sizeof(float)};
  float* scores = context.scratch.scores;
  if (args.rows <= kOneLaunchRows && entries <= kOneLaunchEntries) {
    if (gate_bytes > shape.shared_bytes) shape.shared_bytes = gate_bytes;
    return Launch(RouteAtOnce, shape, context, args, groups, scores, context.scratch.arrived);
  }
  cudaError_t error = Launch(ScoreRows, shape, context, args, scores);
  if (error != cudaSuccess) return error;
  shape.grid = dim3(static_cast<unsigned>(DivideUp(args.rows, kWarps)));
  shape.shared_bytes = gate_bytes;
  error = Launch(ChooseRows, shape, context, args, scores);
  if (error != cudaSuccess) return error;
  return LaunchGroupBySlot(groups, context);
}

}  // namespace guildhall::cuda
