#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/gate_row.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"

namespace guildhall {
namespace {

void CheckArgs(const RouteArgs& args, const Scratch& scratch) {
  const GateSpec& gate = *args.gate;
  GH_CHECK_GT(gate.experts, 0);
  GH_CHECK_GT(gate.k, 0);
  GH_CHECK_LE(gate.k, gate.experts);
  GH_CHECK_EQ(args.w.out, int64_t{gate.experts});
  GH_CHECK_LE(int64_t{gate.experts}, args.slots);
  GH_CHECK_LE(int64_t{gate.experts}, scratch.limits.max_experts);
  GH_CHECK_LE(args.rows, scratch.limits.max_rows);
  GH_CHECK_EQ(gate.selection_bias, args.selection_bias != nullptr);
  if (!args.expert_maps.empty()) GH_CHECK(args.row_task != nullptr);
  if (gate.selection == GateSpec::Selection::kGroupLimitedTopK) {
    GH_CHECK_GT(gate.groups, 0);
    GH_CHECK_EQ(gate.experts % gate.groups, 0);
    GH_CHECK_GT(gate.groups_kept, 0);
    GH_CHECK_LE(gate.groups_kept, gate.groups);
    GH_CHECK_LE(gate.k, gate.groups_kept * (gate.experts / gate.groups));
    if (gate.group_score == GateSpec::GroupScore::kSumOfTop2) GH_CHECK_GE(gate.experts / gate.groups, 2);
  }
}

// Logical experts of one row to slots, by the map of its task.
void Reroute(const RouteArgs& args, int64_t row) {
  const int64_t k = args.gate->k;
  const int32_t task = args.expert_maps.empty() ? -1 : args.row_task[row];
  const int32_t* map = task < 0 ? nullptr : args.expert_maps[static_cast<size_t>(task)];
  for (int64_t j = row * k; j < (row + 1) * k; ++j) {
    args.slot[j] = map == nullptr ? args.expert[j] : map[args.expert[j]];
  }
}

// Counting sort of the entries by slot; stable, so ascending within a slot.
void GroupBySlot(const RouteArgs& args) {
  const int64_t entries = args.rows * args.gate->k;
  int32_t* begin = args.group_begin;
  std::fill(begin, begin + args.slots + 1, 0);
  for (int64_t i = 0; i < entries; ++i) {
    GH_CHECK_GE(args.slot[i], 0);
    GH_CHECK_LT(args.slot[i], args.slots);
    ++begin[args.slot[i] + 1];
  }
  for (int64_t s = 0; s < args.slots; ++s) begin[s + 1] += begin[s];
  // Each begin moves on to its slot's end, which is the next one's begin: shift them back by one.
  for (int64_t i = 0; i < entries; ++i) args.group_entry[begin[args.slot[i]]++] = static_cast<int32_t>(i);
  for (int64_t s = args.slots; s > 0; --s) begin[s] = begin[s - 1];
  begin[0] = 0;
}

}  // namespace

void RouteOp(const RouteArgs& args, CpuContext& context) {
  const Scratch& scratch = context.scratch;
  const GateSpec& gate = *args.gate;
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
      gate_row(gate, scratch.logits + row * gate.experts, args.selection_bias, work,
               args.expert + row * gate.k, args.weight + row * gate.k);
      Reroute(args, row);
    }
  });
  GroupBySlot(args);
}

}  // namespace guildhall
