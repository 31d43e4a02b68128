// Feed-forward networks, gated: many experts with a group of rows each, or one for all rows.
//
// Three loops with a barrier after each: (1) h = silu(gate x) * (up x) for every entry, (2) entry_out = down
// h, (3) y += the weighed outputs of the row's entries in the order of selection. An item of the first two is
// one expert times a block of its panels, so that its weights are read once for all of its rows, whatever
// adapters they have: low-rank changes are shrunk entry by entry in a loop before (1) and one before (2), and
// expanded on the finished tiles.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/ffn_job.h"
#include "kernels/cpu/ffn_low_rank.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/row_chunks.h"

namespace guildhall {
namespace {

void CheckWeights(const FfnJob& job, const FfnWeights& weights) {
  GH_CHECK(!weights.gate_up.empty());
  GH_CHECK(!weights.down.empty());
  GH_CHECK_EQ(weights.gate_up.out, 2 * job.width);
  GH_CHECK_EQ(weights.gate_up.in, job.hidden);
  GH_CHECK_EQ(weights.down.out, job.hidden);
  GH_CHECK_EQ(weights.down.in, job.width);
}

// An item owns whole blocks of four panels whatever the format of its expert: 32 columns of h, which are a
// block of its int8 form, or 64 of the output.
constexpr int64_t kBlockPanels = kMaxGroupPanels;
constexpr int64_t kHiddenColumns = kBlockPanels / 2 * kPanelColumns;
static_assert(kHiddenColumns == kQuantBlock);

// The groups of one such block.
struct GroupRange {
  int64_t begin, end;

  GroupRange(const PanelGroups& groups, int64_t block)
      : begin(block * kBlockPanels / groups.group_panels()),
        end(std::min(groups.count(), (block + 1) * kBlockPanels / groups.group_panels())) {}
};

PanelGroups GateUpGroups(const FfnJob& job, const FfnWeights& weights, const MicroKernels& kernels) {
  return PanelGroups(weights.gate_up, 2 * CeilDiv(job.width, kPanelColumns), kernels);
}

// x in every row format that some expert's gate and up read.
using Inputs = std::array<InputRows, kRowFormats>;

Inputs PrepareInputs(const FfnJob& job, CpuContext& context) {
  Inputs inputs;
  std::byte* destination = context.scratch.input;
  size_t bytes = context.scratch.input_bytes;
  for (const int32_t slot : job.active) {
    const FfnWeights& weights = job.table[slot];
    CheckWeights(job, weights);
    const RowFormat format = RowFormatOf(context.kernels, weights.gate_up.format);
    InputRows& rows = inputs[static_cast<size_t>(format)];
    if (rows.data != nullptr) continue;
    rows = PrepareRows(job.x, job.rows, job.hidden, job.x_stride, format, destination, bytes, context);
    if (rows.data != destination) continue;
    destination += static_cast<size_t>(job.rows) * rows.stride;
    bytes -= static_cast<size_t>(job.rows) * rows.stride;
  }
  return inputs;
}

// h of some rows of one block of columns, converted for `down`. Rows of h are kept by their place in the
// grouping, so that an expert's rows are neighbours. `h`: (rows, kHiddenColumns).
void StoreHidden(const FfnJob& job, const FfnWeights& weights, int64_t place, int64_t rows, int64_t block,
                 const float* h, const CpuContext& context) {
  const RowFormat format = RowFormatOf(context.kernels, weights.down.format);
  const int64_t column = block * kHiddenColumns;
  const int64_t columns = std::min(kHiddenColumns, job.width - column);
  const InputRows to = HiddenRows(job, format, context);
  const bool keep_floats = format == RowFormat::kInt8 && !job.down_low_rank.none();
  for (int64_t r = 0; r < rows; ++r, h += kHiddenColumns) {
    const size_t row = static_cast<size_t>(place + r) * to.stride;
    std::byte* const all = context.scratch.hidden + row;
    ConvertRow(context, format, h, columns,
               all + HiddenOffset(format, job.width) + RowOffset(format, column));
    if (keep_floats) std::copy_n(h, columns, reinterpret_cast<float*>(all) + column);
  }
}

void GateUpBlock(const FfnJob& job, int32_t slot, int64_t block, int64_t begin, int64_t end,
                 const Inputs& inputs, const CpuContext& context) {
  constexpr int64_t kRows = kMaxTiles * kMaxTileRows;
  const FfnWeights& weights = job.table[slot];
  const int64_t first = job.Begin(slot);
  const InputRows& x = inputs[static_cast<size_t>(RowFormatOf(context.kernels, weights.gate_up.format))];
  const PanelGroups groups = GateUpGroups(job, weights, context.kernels);
  const GroupRange range(groups, block);
  alignas(64) float h[kRows * kHiddenColumns];
  for (; begin < end; begin += kRows) {
    const int64_t last = std::min(end, begin + kRows);
    for (int64_t g = range.begin; g < range.end; ++g) {
      const PanelGroup group = groups[g];
      const int64_t column = group.first_panel / 2 * kPanelColumns;
      const auto columns =
          static_cast<int>(std::min<int64_t>(group.panels / 2 * kPanelColumns, job.width - column));
      MultiplyGroup(
          context.kernels, weights.gate_up.format, group, job.hidden, begin, last,
          [&](int64_t i) { return x[job.Entry(first + i) / job.k]; },
          [&](int64_t i, int rows, float* tile) {
            if (!job.gate_up_low_rank.none())
              ExpandGateUp(job, first + i, rows, column, columns, tile, context);
            StoreSwiGlu({.tile = tile,
                         .gate_bias = weights.gate_bias != nullptr ? weights.gate_bias + column : nullptr,
                         .up_bias = weights.up_bias != nullptr ? weights.up_bias + column : nullptr,
                         .h = h + (i - begin) * kHiddenColumns + column % kHiddenColumns,
                         .h_stride = kHiddenColumns,
                         .rows = rows,
                         .columns = columns},
                        context.isa);
          });
    }
    StoreHidden(job, weights, first + begin, last - begin, block, h, context);
  }
}

void DownGroup(const FfnJob& job, int32_t slot, const PanelGroup& group, int64_t begin, int64_t end,
               const CpuContext& context) {
  const FfnWeights& weights = job.table[slot];
  const int64_t first = job.Begin(slot);
  const InputRows h = HiddenRows(job, RowFormatOf(context.kernels, weights.down.format), context);
  const int64_t column = group.first_panel * kPanelColumns;
  const auto columns = static_cast<int>(std::min<int64_t>(group.panels * kPanelColumns, job.hidden - column));
  MultiplyGroup(
      context.kernels, weights.down.format, group, job.width, begin, end,
      [&](int64_t i) { return h[first + i]; },
      [&](int64_t i, int rows, float* tile) {
        if (!job.down_low_rank.none()) ExpandDown(job, first + i, rows, column, columns, tile, context);
        float* y[kMaxTileRows];
        for (int r = 0; r < rows; ++r)
          y[r] = context.scratch.entry_out + job.Entry(first + i + r) * job.hidden + column;
        StoreTile({.tile = tile,
                   .bias = weights.down_bias != nullptr ? weights.down_bias + column : nullptr,
                   .y = y,
                   .rows = rows,
                   .columns = columns,
                   .clip = 0.0f,
                   .sigmoid = false,
                   .accumulate = false},
                  context.isa);
      });
}

void DownBlock(const FfnJob& job, int32_t slot, int64_t block, int64_t begin, int64_t end,
               const CpuContext& context) {
  const PanelGroups groups(job.table[slot].down, CeilDiv(job.hidden, kPanelColumns), context.kernels);
  const GroupRange range(groups, block);
  for (int64_t g = range.begin; g < range.end; ++g) DownGroup(job, slot, groups[g], begin, end, context);
}

// body(slot, block, begin, end) for all active slots, blocks of `panels` panels and rows of their entries.
// `shape`: the first slot's matrix, whose size stands for all.
template <typename Body>
void ForBlocks(const FfnJob& job, const Matrix& shape, int64_t panels, CpuContext& context, Body body) {
  const auto slots = static_cast<int64_t>(job.active.size());
  const int64_t blocks = CeilDiv(panels, kBlockPanels);
  const ItemPlan plan = PlanItems(blocks, kBlockPanels * PanelBytes(shape.format, shape.in),
                                  job.LargestGroup(), slots, context.pool.threads());
  context.pool.Run(slots * plan.items(), [&](int64_t item, int) {
    const int32_t slot = job.active[static_cast<size_t>(item / plan.items())];
    const int64_t part = item % plan.items();
    const int64_t begin = part % plan.chunks * plan.chunk_rows;
    const int64_t end = std::min(job.Size(slot), begin + plan.chunk_rows);
    const int64_t first = part / plan.chunks * plan.block_groups;
    const int64_t last = std::min(blocks, first + plan.block_groups);
    for (int64_t block = first; block < last && begin < end; ++block) body(slot, block, begin, end);
  });
}

void AddOutputs(const FfnJob& job, CpuContext& context) {
  ForRowChunks(context.pool, job.rows, job.k * job.hidden, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      AddWeighedSum({.parts = context.scratch.entry_out + row * job.k * job.hidden,
                     .part_stride = job.hidden,
                     .part = job.slot_of != nullptr ? job.slot_of + row * job.k : nullptr,
                     .weight = job.weight != nullptr ? job.weight + row * job.k : nullptr,
                     .count = job.k,
                     .y = job.y + row * job.y_stride,
                     .width = job.hidden},
                    context.isa);
    }
  });
}

void RunExperts(const FfnJob& job, CpuContext& context) {
  const Inputs inputs = PrepareInputs(job, context);
  const FfnWeights& shape = job.table[job.active[0]];
  if (!job.gate_up_low_rank.none()) ShrinkGateUp(job, context);
  ForBlocks(job, shape.gate_up, 2 * CeilDiv(job.width, kPanelColumns), context,
            [&](int32_t slot, int64_t block, int64_t begin, int64_t end) {
              GateUpBlock(job, slot, block, begin, end, inputs, context);
            });
  if (!job.down_low_rank.none()) ShrinkDown(job, context);
  ForBlocks(job, shape.down, CeilDiv(job.hidden, kPanelColumns), context,
            [&](int32_t slot, int64_t block, int64_t begin, int64_t end) {
              DownBlock(job, slot, block, begin, end, context);
            });
}

void RunJob(const FfnJob& job, CpuContext& context) {
  if (job.rows == 0) return;
  GH_CHECK_LE(job.rows * job.k, context.scratch.limits.max_entries);
  GH_CHECK_LE(job.hidden, context.scratch.limits.hidden);
  GH_CHECK_LE(static_cast<size_t>(job.rows * job.k) * HiddenRowBytes(job.width),
              context.scratch.hidden_bytes);
  if (!job.active.empty()) RunExperts(job, context);
  AddOutputs(job, context);
}

// The slots that have entries, the largest group first; equal ones in ascending order.
std::span<const int32_t> ActiveSlots(const ExpertFfnArgs& args, CpuContext& context) {
  int32_t* active = context.scratch.active;
  size_t count = 0;
  for (int32_t slot = 0; slot < args.slots; ++slot) {
    if (args.group_begin[slot + 1] > args.group_begin[slot]) active[count++] = slot;
  }
  const auto size = [&](int32_t slot) { return args.group_begin[slot + 1] - args.group_begin[slot]; };
  std::sort(active, active + count,
            [&](int32_t a, int32_t b) { return size(a) != size(b) ? size(a) > size(b) : a < b; });
  return {active, count};
}

}  // namespace

void ExpertFfnOp(const ExpertFfnArgs& args, CpuContext& context) {
  GH_CHECK_GE(args.rows, 0);
  GH_CHECK_LE(args.rows * args.k, context.scratch.limits.max_entries);
  GH_CHECK_EQ(args.group_begin[0], 0);
  GH_CHECK_LE(args.group_begin[args.slots], args.rows * args.k);
  RunJob({.x = args.x,
          .table = args.table,
          .active = ActiveSlots(args, context),
          .group_begin = args.group_begin,
          .group_entry = args.group_entry,
          .slot_of = args.slot,
          .weight = args.weight,
          .y = args.y,
          .rows = args.rows,
          .k = args.k,
          .hidden = args.hidden,
          .width = args.width,
          .x_stride = args.x_stride,
          .y_stride = args.y_stride,
          .gate_up_low_rank = args.gate_up_low_rank,
          .down_low_rank = args.down_low_rank,
          .expert = args.expert},
         context);
}

void FfnOp(const FfnArgs& args, CpuContext& context) {
  GH_CHECK_GE(args.rows, 0);
  constexpr int32_t kOnlySlot = 0;
  RunJob({.x = args.x,
          .table = &args.w,
          .active = {&kOnlySlot, 1},
          .group_begin = nullptr,
          .group_entry = nullptr,
          .slot_of = nullptr,
          .weight = args.weight,
          .y = args.y,
          .rows = args.rows,
          .k = 1,
          .hidden = args.hidden,
          .width = args.width,
          .x_stride = args.x_stride,
          .y_stride = args.y_stride,
          .gate_up_low_rank = args.gate_up_low_rank,
          .down_low_rank = args.down_low_rank,
          .expert = nullptr},
         context);
}

}  // namespace guildhall
