#include "tests/cuda_emulation/wrong_kernels.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 64;  // of a block: two warps
constexpr unsigned kAll = 0xffffffff;

// Elements go through shared memory to other threads.
__global__ void ThroughShared(PlantedArgs args) {
  auto* const shared = reinterpret_cast<float*>(DynamicShared());
  const int i = static_cast<int>(threadIdx.x);
  if (args.planted != Planted::kUnwrittenShared || i != 40) shared[i] = 0.0f;
  __syncthreads();
  if (args.planted != Planted::kUnwrittenShared || i != 40) shared[i] = args.in[i];
  if (args.planted != Planted::kSharedRace) __syncthreads();
  const int from = args.planted == Planted::kSharedOutOfBounds && i == 3 ? 256 : kThreads - 1 - i;
  args.out[kThreads - 1 - i] = shared[from] + 1.0f;
}

__global__ void ThroughGlobal(PlantedArgs args) {
  const int i = static_cast<int>(threadIdx.x);
  const int read = args.planted == Planted::kGlobalOutOfBounds && i == 5 ? kThreads
                   : args.planted == Planted::kGlobalBelow && i == 5     ? -1
                                                                         : i;
  args.out[i] = args.in[read];
  if (args.planted != Planted::kGlobalRace) __syncthreads();
  const float neighbour = args.out[i ^ 32];
  __syncthreads();
  args.out[i ^ 32] = neighbour + 1.0f;
}

// Lanes exchange by memory within their warp.
__global__ void ThroughWarp(PlantedArgs args) {
  auto* const shared = reinterpret_cast<float*>(DynamicShared());
  const int i = static_cast<int>(threadIdx.x);
  shared[i] = 0.0f;
  __syncwarp();
  shared[i] = args.in[i];
  if (args.planted != Planted::kWarpRace) __syncwarp();
  args.out[i ^ 1] = shared[i ^ 1] + 1.0f;
}

// Each of two blocks has half of the elements.
__global__ void OfTwoBlocks(PlantedArgs args) {
  const int block = static_cast<int>(blockIdx.x);
  const int i = 32 * block + static_cast<int>(threadIdx.x);
  const int to = args.planted == Planted::kBlocksWrite && i == 32 ? 31 : i;
  args.out[to] = args.in[i] + 1.0f;
  if (args.planted == Planted::kBlocksReadWrite && args.out[i ^ 32] < 0.0f) args.out[i] = 0.0f;
  atomicAdd(args.counter, 1);
}

// The block that ends last goes on with what the other wrote.
__global__ void LastOfTwoBlocks(PlantedArgs args) {
  auto* const last = reinterpret_cast<int32_t*>(DynamicShared());
  const int i = static_cast<int>(threadIdx.x);
  args.out[32 * static_cast<int>(blockIdx.x) + i] = args.in[32 * static_cast<int>(blockIdx.x) + i];
  if (args.planted != Planted::kFenceForgotten) __threadfence();
  __syncthreads();
  if (i == 0) *last = atomicAdd(args.counter, 1);
  __syncthreads();
  if (*last != 1) return;
  __threadfence();
  args.out[i] = args.out[i] + 1.0f;
  args.out[32 + i] = args.out[32 + i] + 1.0f;
  if (i == 0) *args.counter = 0;
}

// Lanes of one warp at two places that each wait for the other's.
__global__ void Divergent(PlantedArgs args) {
  const int i = static_cast<int>(threadIdx.x);
  if (args.planted == Planted::kDivergentBarrier && i < 16) {
    __syncthreads();
    __syncwarp();
  } else {
    __syncwarp();
    __syncthreads();
  }
  args.out[i] = args.in[i] + 1.0f;
}

__global__ void Shuffled(PlantedArgs args) {
  const int i = static_cast<int>(threadIdx.x), lane = i % 32;
  float value = args.in[i];
  if (lane < 16) {
    const int from = args.planted == Planted::kLaneOutsideOfMask && lane == 2 ? 16 : lane ^ 1;
    value = __shfl_sync(0xffffu, value, from);
    value = __shfl_xor_sync(0xffffu, value, 1);
  }
  args.out[i] = value + 1.0f;
}

__global__ void OfVectors(PlantedArgs args) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= 16) return;
  const int skew = args.planted == Planted::kMisalignedVector && i == 7 ? 2 : 0;
  const float4 v = *reinterpret_cast<const float4*>(args.in + 4 * i - skew);
  *reinterpret_cast<float4*>(args.out + 4 * i) = make_float4(v.x + 1.0f, v.y + 1.0f, v.z + 1.0f, v.w + 1.0f);
}

__global__ void ByCopies(PlantedArgs args) {
  auto* const shared = reinterpret_cast<float*>(DynamicShared());
  const int i = static_cast<int>(threadIdx.x);
  const Planted planted = args.planted;
  if (i < 16) {
    const int skew = planted == Planted::kMisalignedCopy && i == 7 ? 1 : 0;
    CopyAsync16(shared + 4 * i, args.in + 4 * i - skew);
    CopyAsyncCommit();
    if (planted == Planted::kCopyReadEarly && i == 9 && shared[36] > 0.0f) args.out[0] = 0.0f;
    if (planted == Planted::kCopyOverwritten && i == 9) shared[37] = 1.0f;
    if (planted != Planted::kCopyNotAwaited) CopyAsyncWait<0>();
  }
  if (planted != Planted::kCopyRace) __syncthreads();
  if (planted == Planted::kCopyLeft && i == 3) CopyAsync16(shared + 128, args.in);
  args.out[i] = shared[i] + 1.0f;
}

// The four 8 x 8 matrices of 16-bit elements lie one after another: lane l gets bytes 4 l of each.
__global__ void ByMatrices(PlantedArgs args) {
  auto* const shared = DynamicShared();
  const int i = static_cast<int>(threadIdx.x), lane = i % 32;
  auto* const words = reinterpret_cast<float*>(shared);
  words[i] = args.in[i];
  __syncthreads();
  const int row = args.planted == Planted::kRowOutsideOfShared && lane == 4 ? 64 : lane % 16;
  uint32_t r[2];
  LdMatrixX2(r, shared + 16 * row);
  args.out[i] = __uint_as_float(r[i / 32]) + 1.0f;
}

}  // namespace

cudaError_t LaunchPlanted(const PlantedArgs& args, cudaStream_t stream) {
  constexpr size_t kSharedBytes = 1024;
  const Context context{.stream = stream};
  for (void (*const kernel)(PlantedArgs) : {&ThroughShared, &ThroughGlobal, &ThroughWarp, &Divergent,
                                            &Shuffled, &OfVectors, &ByCopies, &ByMatrices}) {
    const cudaError_t error = Launch(kernel, {1, kThreads, kSharedBytes}, context, args);
    if (error != cudaSuccess) return error;
  }
  const cudaError_t error = Launch(&LastOfTwoBlocks, {2, kThreads / 2, kSharedBytes}, context, args);
  if (error != cudaSuccess) return error;
  return Launch(&OfTwoBlocks, {2, kThreads / 2, 0}, context, args);
}

}  // namespace guildhall::cuda
