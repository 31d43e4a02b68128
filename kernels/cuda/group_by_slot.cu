#include "kernels/cuda/group_by_slot.cuh"

#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kScanThreads = 256;
constexpr int64_t kLeastChunk = 256;  // entries

// Entries cut into chunks, and what each chunk has of each slot.
struct Chunks {
  int64_t entries;  // of a chunk
  int64_t count;
  int32_t* counts;  // (slots, count); after the scan: where the chunk's entries of the slot begin
};

__global__ void GroupAtOnce(SlotGroups groups) {
  const int64_t slot = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  GroupSlots(groups, slot, groups.slots);
}

// A thread for each slot of each chunk.
__global__ void CountChunks(SlotGroups groups, Chunks chunks) {
  const int64_t slot = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, chunk = blockIdx.y;
  if (slot >= groups.slots) return;
  const int64_t begin = chunk * chunks.entries, end = min(begin + chunks.entries, groups.entries);
  int32_t count = 0;
  for (int64_t i = begin; i < end; ++i) count += groups.slot[i] == slot ? 1 : 0;
  chunks.counts[slot * chunks.count + chunk] = count;
}

// One block: counts become the sums of all before them, in the order of slots, then of chunks. Each thread
// has a stretch of its own.
__global__ void ScanCounts(SlotGroups groups, Chunks chunks) {
  int32_t* sums = reinterpret_cast<int32_t*>(DynamicShared());  // (kScanThreads)
  const int64_t total = groups.slots * chunks.count, share = DivideUp(total, kScanThreads);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t begin = min(thread * share, total), end = min(begin + share, total);
  int32_t sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += chunks.counts[i];
  sums[thread] = sum;
  __syncthreads();
  int32_t before = 0;
  for (int t = 0; t < thread; ++t) before += sums[t];
  for (int64_t i = begin; i < end; ++i) {
    const int32_t count = chunks.counts[i];
    chunks.counts[i] = before;
    if (i % chunks.count == 0) groups.begin[i / chunks.count] = before;
    before += count;
  }
  if (thread == kScanThreads - 1) groups.begin[groups.slots] = before;
}

// A thread for each slot of each chunk.
__global__ void PlaceChunks(SlotGroups groups, Chunks chunks) {
  const int64_t slot = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, chunk = blockIdx.y;
  if (slot >= groups.slots) return;
  const int64_t begin = chunk * chunks.entries, end = min(begin + chunks.entries, groups.entries);
  int32_t place = chunks.counts[slot * chunks.count + chunk];
  for (int64_t i = begin; i < end; ++i) {
    if (groups.slot[i] == slot) groups.entry[place++] = static_cast<int32_t>(i);
  }
}

}  // namespace

cudaError_t LaunchGroupBySlot(const SlotGroups& groups, const Context& context) {
  GH_CHECK_GT(groups.slots, 0);
  const auto blocks = static_cast<unsigned>(DivideUp(groups.slots, kThreads));
  // Chunks of at least as many entries as there are slots: the counts are no more than the entries.
  const int64_t least = groups.slots > kLeastChunk ? groups.slots : kLeastChunk;
  const int64_t count = groups.entries / least;
  if (count <= 1) {
    const LaunchShape shape{.grid = dim3(blocks), .block = dim3(kThreads)};
    return Launch(GroupAtOnce, shape, context, groups);
  }
  const int64_t size = DivideUp(groups.entries, count);
  const Chunks chunks{size, DivideUp(groups.entries, size), context.scratch.rows};
  const LaunchShape shape{.grid = dim3(blocks, static_cast<unsigned>(chunks.count)), .block = dim3(kThreads)};
  cudaError_t error = Launch(CountChunks, shape, context, groups, chunks);
  if (error != cudaSuccess) return error;
  const LaunchShape one{
      .grid = dim3(1), .block = dim3(kScanThreads), .shared_bytes = kScanThreads * sizeof(int32_t)};
  error = Launch(ScanCounts, one, context, groups, chunks);
  if (error != cudaSuccess) return error;
  return Launch(PlaceChunks, shape, context, groups, chunks);
}

}  // namespace guildhall::cuda
