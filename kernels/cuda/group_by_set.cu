#include "base/check.h"
#include "kernels/cuda/group_by_slot.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kOneBlockRows = 256;

__device__ void ChooseSlot(const GroupBySetArgs& args, int64_t row) {
  const int32_t set = args.sets.set[row];
  const int32_t* map = set < 0 ? nullptr : args.sets.tables[set].expert_maps[args.expert_map];
  const bool takes_part = args.kv_place == nullptr || args.kv_place[row] >= 0;
  args.slot[row] = !takes_part ? -1 : (map == nullptr ? 0 : map[0]);
}

__global__ void ChooseSlots(GroupBySetArgs args) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row < args.rows) ChooseSlot(args, row);
}

// One block does it all.
__global__ void ChooseAndGroup(GroupBySetArgs args, SlotGroups groups) {
  for (int64_t row = threadIdx.x; row < args.rows; row += kThreads) ChooseSlot(args, row);
  __syncthreads();
  GroupSlots(groups, threadIdx.x, kThreads);
}

}  // namespace

cudaError_t GroupBySetOp(const GroupBySetArgs& args, const Context& context) {
  GH_CHECK(!args.sets.none());
  const SlotGroups groups{args.slot, args.rows, args.slots, args.group_begin, args.group_entry};
  if (args.rows <= kOneBlockRows) {
    const LaunchShape shape{.grid = dim3(1), .block = dim3(kThreads)};
    return Launch(ChooseAndGroup, shape, context, args, groups);
  }
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(DivideUp(args.rows, kThreads))),
                          .block = dim3(kThreads)};
  const cudaError_t error = Launch(ChooseSlots, shape, context, args);
  if (error != cudaSuccess) return error;
  return LaunchGroupBySlot(groups, context);
}

}  // namespace guildhall::cuda
