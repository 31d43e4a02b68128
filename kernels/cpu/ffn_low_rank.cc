#include "kernels/cpu/ffn_low_rank.h"

#include <algorithm>

#include "kernels/cpu/low_rank.h"

namespace guildhall {
namespace {

// The low-rank changes of a product of the entries at given places of the grouping. Places of one expert and
// one task are neighbours, because rows of one task are.
class EntryChanges {
 public:
  EntryChanges(const FfnJob& job, LowRank FfnLowRank::*product) : job_(job), product_(product) {}

  // Names task and expert of the entry at a place; -1: no change.
  int64_t KeyOf(int64_t place) const {
    const int64_t entry = job_.Entry(place);
    const int32_t task = job_.low_rank.row_task[entry / job_.k];
    if (task < 0) return -1;
    return int64_t{task} << 32 | ExpertOf(entry);
  }
  FfnLowRankTerms TermsOf(int64_t key) const { return job_.low_rank.tasks[static_cast<size_t>(key >> 32)]; }
  // A term's change, for entries of `key`.
  auto PickFor(int64_t key) const {
    const int64_t expert = key & 0xffffffff;
    return [expert, product = product_](const FfnLowRankTerm& term) -> const LowRank& {
      return term.change[expert].*product;
    };
  }
  float* Place(int64_t place) const { return job_.low_rank.workspace + place * job_.low_rank.stride; }

 private:
  int64_t ExpertOf(int64_t entry) const { return job_.expert != nullptr ? job_.expert[entry] : 0; }

  const FfnJob& job_;
  LowRank FfnLowRank::*const product_;
};

// x_of(place): the input of the product; bf16_of(slot): whether it is bf16 there.
template <typename BF16Of, typename XOf>
void ShrinkEntries(const FfnJob& job, LowRank FfnLowRank::*product, BF16Of bf16_of, XOf x_of,
                   CpuContext& context) {
  const EntryChanges changes(job, product);
  const auto key_of = [&](int64_t place) { return changes.KeyOf(place); };
  const auto slots = static_cast<int64_t>(job.active.size());
  const int64_t most =
      std::clamp<int64_t>(job.rows * job.k / (4 * context.pool.threads()), kMaxTileRows, kShrinkRows);
  const int64_t chunks = CeilDiv(job.LargestGroup(), most);
  context.pool.Run(slots * chunks, [&](int64_t item, int worker) {
    const int32_t slot = job.active[static_cast<size_t>(item / chunks)];
    const int64_t begin = job.Begin(slot) + item % chunks * most;
    const int64_t end = std::min(job.Begin(slot) + job.Size(slot), begin + most);
    ForRuns(begin, end, most, key_of, [&](int64_t first, int64_t last) {
      ShrinkRows rows{.rows = static_cast<int>(last - first), .bf16 = bf16_of(slot)};
      for (int r = 0; r < rows.rows; ++r) {
        rows.x[r] = x_of(first + r);
        rows.u[r] = changes.Place(first + r);
      }
      const int64_t key = changes.KeyOf(first);
      ShrinkTerms(changes.TermsOf(key), changes.PickFor(key), rows, context.scratch.Worker(worker), context);
    });
  });
}

// Adds the changes to some panels of the tile of places [place, place + rows).
void ExpandEntries(const FfnJob& job, LowRank FfnLowRank::*product, int64_t place, int rows, ExpandTile tile,
                   const CpuContext& context) {
  const EntryChanges changes(job, product);
  const auto key_of = [&](int64_t p) { return changes.KeyOf(p); };
  float* const begin = tile.tile;
  ForRuns(place, place + rows, kMaxTileRows, key_of, [&](int64_t first, int64_t last) {
    tile.tile = begin + (first - place) * tile.stride;
    tile.rows = static_cast<int>(last - first);
    for (int r = 0; r < tile.rows; ++r) tile.u[r] = changes.Place(first + r);
    const int64_t key = changes.KeyOf(first);
    ExpandTerms(changes.TermsOf(key), changes.PickFor(key), tile, context.isa);
  });
}

// The form of h that low-rank changes of `down` read.
RowFormat HiddenFormat(const FfnJob& job, int32_t slot, const CpuContext& context) {
  const RowFormat format = RowFormatOf(context.kernels, job.table[static_cast<size_t>(slot)].down.format);
  return format == RowFormat::kInt8 ? RowFormat::kFloat : format;
}

}  // namespace

void ShrinkGateUp(const FfnJob& job, CpuContext& context) {
  ShrinkEntries(
      job, &FfnLowRank::gate_up, [](int32_t) { return false; },
      [&](int64_t place) { return job.x + job.Entry(place) / job.k * job.x_stride; }, context);
}

void ShrinkDown(const FfnJob& job, CpuContext& context) {
  const InputRows h = HiddenRows(job, RowFormat::kFloat, context);
  ShrinkEntries(
      job, &FfnLowRank::down,
      [&](int32_t slot) { return HiddenFormat(job, slot, context) == RowFormat::kBF16; },
      [&](int64_t place) { return h[place]; }, context);
}

// Gate and up stand in alternating panels of the tile.
void ExpandGateUp(const FfnJob& job, int64_t place, int rows, int64_t column, int columns, float* tile,
                  const CpuContext& context) {
  for (const int32_t module : {0, 1}) {
    ExpandEntries(job, &FfnLowRank::gate_up, place, rows,
                  {.tile = tile + module * kPanelColumns,
                   .module = module,
                   .gain_begin = module * job.width,
                   .column = column,
                   .end = column + columns,
                   .panels = static_cast<int>(CeilDiv(columns, kPanelColumns)),
                   .panel_stride = 2 * kPanelColumns},
                  context);
  }
}

void ExpandDown(const FfnJob& job, int64_t place, int rows, int64_t column, int columns, float* tile,
                const CpuContext& context) {
  ExpandEntries(job, &FfnLowRank::down, place, rows,
                {.tile = tile,
                 .column = column,
                 .end = column + columns,
                 .panels = static_cast<int>(CeilDiv(columns, kPanelColumns))},
                context);
}

}  // namespace guildhall
