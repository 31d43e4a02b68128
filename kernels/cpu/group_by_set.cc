#include "kernels/cpu/group_by_slot.h"
#include "kernels/cpu/ops_internal.h"

namespace guildhall {

void GroupBySetOp(const GroupBySetArgs& args, CpuContext&) {
  GH_CHECK(!args.sets.none());
  for (int64_t row = 0; row < args.rows; ++row) {
    const int32_t set = args.sets.set[row];
    const int32_t* map = set < 0 ? nullptr : args.sets.tables[set].expert_maps[args.expert_map];
    const bool takes_part = args.kv_place == nullptr || args.kv_place[row] >= 0;
    args.slot[row] = !takes_part ? -1 : (map == nullptr ? 0 : map[0]);
  }
  GroupBySlot(args.slot, args.rows, args.slots, args.group_begin, args.group_entry);
}

}  // namespace guildhall
