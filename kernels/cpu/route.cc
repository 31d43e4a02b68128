#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/gate_row.h"
#include "kernels/cpu/group_by_slot.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"
#include "kernels/gate_checks.h"

namespace guildhall {
namespace {

void CheckArgs(const RouteArgs& args, const Scratch& scratch) {
  CheckGate(args.gate);
  GH_CHECK_EQ(args.w.out, int64_t{args.gate.experts});
  GH_CHECK_LE(int64_t{args.gate.experts}, args.slots);
  GH_CHECK_EQ(args.gate.selection_bias, args.selection_bias != nullptr);
  GH_CHECK_LE(int64_t{args.gate.experts}, scratch.limits.max_experts);
  GH_CHECK_LE(args.rows, scratch.limits.max_rows);
}

// Logical experts of one row to slots, by the map of its set.
void Reroute(const RouteArgs& args, int64_t row) {
  const int64_t k = args.gate.k;
  const int32_t set = args.sets.none() ? -1 : args.sets.set[row];
  const int32_t* map = set < 0 ? nullptr : args.sets.tables[set].expert_maps[args.expert_map];
  for (int64_t j = row * k; j < (row + 1) * k; ++j) {
    const int32_t expert = args.expert[j];
    args.slot[j] = expert < 0 || map == nullptr ? expert : map[expert];
    if (args.slot[j] < 0) args.weight[j] = 0.0f;
  }
}

void LeaveOut(const RouteArgs& args, int64_t row) {
  const int64_t k = args.gate.k;
  std::fill_n(args.expert + row * k, k, -1);
  std::fill_n(args.slot + row * k, k, -1);
  std::fill_n(args.weight + row * k, k, 0.0f);
}

}  // namespace

void RouteOp(const RouteArgs& args, CpuContext& context) {
  const Scratch& scratch = context.scratch;
  const GateSpec& gate = args.gate;
  CheckArgs(args, scratch);

  MatMulArgs scores{};
  scores.x = args.x;
  scores.w = args.w;
  scores.y = scratch.logits;
  scores.rows = args.rows;
  scores.x_stride = args.x_stride;
  scores.y_stride = gate.experts;
  MatMulOp(scores, context);

  const GateRowFunction gate_row = ChooseGateRow(context.isa);
  const int64_t cost = int64_t{gate.experts} * (gate.k + 8);
  ForRowChunks(context.pool, args.rows, cost, [&](int64_t begin, int64_t end, int worker) {
    auto* work = reinterpret_cast<float*>(scratch.Worker(worker));
    for (int64_t row = begin; row < end; ++row) {
      if (args.kv_place != nullptr && args.kv_place[row] < 0) {
        LeaveOut(args, row);
        continue;
      }
      gate_row(gate, scratch.logits + row * gate.experts, args.selection_bias, work,
               args.expert + row * gate.k, args.weight + row * gate.k);
      Reroute(args, row);
    }
  });
  GroupBySlot(args.slot, args.rows * gate.k, args.slots, args.group_begin, args.group_entry);
}

}  // namespace guildhall
