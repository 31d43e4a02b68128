// Feed-forward networks, gated: many experts with a group of rows each, or one for all rows.
//
// Three kernels, one after the other: h = silu(gate x) * (up x) of every entry, what each entry's network
// gives, and y += the weighed results of a row's entries in the order of selection. Low-rank changes are
// shrunk entry by entry in a kernel before each of the first two and expanded in their epilogues.
//
// How large the groups are is known on the device alone, so grids are made for all slots and a usual size: a
// block of an empty slot leaves at once, one of a large group takes several tiles of entries in turn. The
// same holds for the formats of a slot's matrices: they are chosen among inside the kernel, by all threads of
// a block alike. An entry's sums depend on its row and its slot, never on its group.
#include "base/check.h"
#include "kernels/cuda/ffn_job.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/math.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/product_tile.cuh"

namespace guildhall::cuda {
namespace {

// ---- Entries of a slot ----

// The entries of a tile of tokens, in shared memory.
template <int kTokens>
struct TileEntries {
  int32_t entry[kTokens];
  int32_t row[kTokens];
};

// Block. What was read of the table before may be overwritten; who reads what is written waits for the block.
template <int kTokens>
__device__ void ReadEntries(const FfnJob& job, int64_t first, int tokens, TileEntries<kTokens>& entries) {
  static_assert(kTokens <= kProductThreads);
  __syncthreads();
  const int token = static_cast<int>(threadIdx.x);
  if (token >= tokens) return;
  entries.entry[token] = EntryAt(job, first + token);
  entries.row[token] = RowOf(job, entries.entry[token]);
}

// What products take their rows from: x by row, h by entry.
struct IndexedRows {
  const float* x;
  int64_t stride;
  const int32_t* index;

  __device__ const float* Row(int token) const { return x + index[token] * stride; }
  __device__ void Scale(int, int64_t, float (&)[8]) const {}
};

template <int kTokens>
__device__ IndexedRows RowsOfX(const FfnJob& job, const TileEntries<kTokens>& entries) {
  return {job.x, job.x_stride, entries.row};
}
template <int kTokens>
__device__ IndexedRows RowsOfH(const FfnJob& job, const TileEntries<kTokens>& entries) {
  return {job.h, job.width, entries.entry};
}

// Shared memory of a kernel: a product's, and the entries behind it.
template <int kProductBytes, int kTokens>
struct Shared {
  static constexpr int kBytes = kProductBytes + static_cast<int>(sizeof(TileEntries<kTokens>));

  static __device__ TileEntries<kTokens>& Entries() {
    return *reinterpret_cast<TileEntries<kTokens>*>(DynamicShared() + kProductBytes);
  }
};

// Calls body(first place, tokens) for the tiles of the block's slot that are this block's.
template <int kTokens, typename Body>
__device__ void ForTiles(const FfnJob& job, Body body) {
  const Places places = PlacesOf(job, blockIdx.z);
  for (int64_t first = places.begin + int64_t{blockIdx.y} * kTokens; first < places.end;
       first += int64_t{gridDim.y} * kTokens) {
    body(first, static_cast<int>(min(int64_t{kTokens}, places.end - first)));
  }
}

// ---- Low-rank changes ----

// u of both halves of a product; kDown: of the second one.
template <bool kDown, int kTokens>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks) ShrinkKernel(FfnJob job) {
  const LowRankRows& low_rank = kDown ? job.down_low_rank : job.gate_up_low_rank;
  using Memory = Shared<kPlainProductBytes<1, kTokens>, kTokens>;
  TileEntries<kTokens>& entries = Memory::Entries();
  const auto set_at = [&](int64_t place) { return low_rank.rows.set[RowOf(job, EntryAt(job, place))]; };
  const auto expert_at = [&](int64_t place) { return ExpertOf(job, EntryAt(job, place)); };
  // Entries of one set and one expert are neighbours.
  ForTiles<kTokens>(job, [&](int64_t first, int tile) {
    for (const int64_t end = first + tile; first < end;) {
      const int32_t set = set_at(first);
      const int64_t expert = set < 0 ? 0 : expert_at(first);
      int tokens = 1;
      while (first + tokens < end && set_at(first + tokens) == set &&
             (set < 0 || expert_at(first + tokens) == expert)) {
        ++tokens;
      }
      if (set >= 0) {
        ReadEntries(job, first, tokens, entries);
        ShrinkTerms<kTokens>(
            low_rank.rows.tables[set].products[low_rank.product], expert,
            kDown ? RowsOfH(job, entries) : RowsOfX(job, entries), tokens,
            [&](int token) { return low_rank.workspace + entries.entry[token] * low_rank.stride; },
            DynamicShared());
      }
      first += tokens;
    }
  });
}

// ---- The products ----

// Calls body(token, output of the strip, output) for those of a finished tile, by all threads.
template <typename Body>
__device__ void ForOutputs(int tokens, int64_t strip, int64_t out, Body body) {
  for (int i = static_cast<int>(threadIdx.x); i < tokens * kStripOutputs; i += kProductThreads) {
    const int place = i % kStripOutputs;
    const int64_t output = strip * kStripOutputs + place;
    if (output < out) body(i / kStripOutputs, place, output);
  }
}

template <int kTokens>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks) GateUpKernel(FfnJob job) {
  using Memory = Shared<kAnyProductBytes<2, kTokens>, kTokens>;
  TileEntries<kTokens>& entries = Memory::Entries();
  const int64_t strip = blockIdx.x;
  ForTiles<kTokens>(job, [&](int64_t first, int tokens) {
    const FfnWeights weights = job.table == nullptr ? job.only : job.table[blockIdx.z];
    const TileLayout layout{weights.gate_up.format, 2, job.width, job.hidden};
    ReadEntries(job, first, tokens, entries);
    const ProductSums sums = MultiplyAnyStrip<2, kTokens>(StripOf(weights.gate_up.data, layout, strip),
                                                          RowsOfX(job, entries), tokens, DynamicShared());
    ForOutputs(tokens, strip, job.width, [&](int token, int place, int64_t output) {
      const int64_t entry = entries.entry[token], row = entries.row[token];
      const LowRankRows& low_rank = job.gate_up_low_rank;
      float gate = WithChanges(job, low_rank, entry, row, 0, output, sums.At(0, token, place));
      float up = WithChanges(job, low_rank, entry, row, 1, output, sums.At(1, token, place));
      if (weights.gate_bias != nullptr) gate += weights.gate_bias[output];
      if (weights.up_bias != nullptr) up += weights.up_bias[output];
      job.h[entry * job.width + output] = Silu(gate) * up;
    });
  });
}

template <int kTokens>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks) DownKernel(FfnJob job) {
  using Memory = Shared<kAnyProductBytes<1, kTokens>, kTokens>;
  TileEntries<kTokens>& entries = Memory::Entries();
  const int64_t strip = blockIdx.x;
  ForTiles<kTokens>(job, [&](int64_t first, int tokens) {
    const FfnWeights weights = job.table == nullptr ? job.only : job.table[blockIdx.z];
    const TileLayout layout{weights.down.format, 1, job.hidden, job.width};
    ReadEntries(job, first, tokens, entries);
    const ProductSums sums = MultiplyAnyStrip<1, kTokens>(StripOf(weights.down.data, layout, strip),
                                                          RowsOfH(job, entries), tokens, DynamicShared());
    ForOutputs(tokens, strip, job.hidden, [&](int token, int place, int64_t output) {
      const int64_t entry = entries.entry[token];
      float sum =
          WithChanges(job, job.down_low_rank, entry, entries.row[token], 0, output, sums.At(0, token, place));
      if (weights.down_bias != nullptr) sum += weights.down_bias[output];
      job.entry_out[entry * job.hidden + output] = sum;
    });
  });
}

constexpr int kCombineThreads = 256;

// A block has some columns of a row: one chain over its entries in the order of selection.
__global__ void __launch_bounds__(kCombineThreads) CombineKernel(FfnJob job) {
  const int64_t row = blockIdx.x, column = int64_t{blockIdx.y} * kCombineThreads + threadIdx.x;
  if (column >= job.hidden) return;
  float& y = job.y[row * job.y_stride + column];
  float sum = y;
  for (int64_t entry = row * job.k; entry < (row + 1) * job.k; ++entry) {
    if (job.slot_of != nullptr && job.slot_of[entry] < 0) continue;
    const float weight = job.weight == nullptr ? 1.0f : job.weight[entry];
    sum = __fmaf_rn(weight, job.entry_out[entry * job.hidden + column], sum);
  }
  y = sum;
}

// ---- Launchers ----

// Of `out` outputs: strips, tiles of `tokens` of a group of the usual size, slots.
dim3 GridOf(const FfnJob& job, int64_t out, int tokens) {
  return {static_cast<unsigned>(DivideUp(out, kStripOutputs)),
          static_cast<unsigned>(DivideUp(job.usual, tokens)), static_cast<unsigned>(job.slots)};
}

template <bool kDown>
cudaError_t Shrink(const FfnJob& job, const Context& context) {
  if ((kDown ? job.down_low_rank : job.gate_up_low_rank).none()) return cudaSuccess;
  return ChooseTokens(job.usual, [&]<int kTokens>() {
    return Launch(ShrinkKernel<kDown, kTokens>,
                  {GridOf(job, 1, kTokens), dim3(kProductThreads),
                   Shared<kPlainProductBytes<1, kTokens>, kTokens>::kBytes},
                  context, job);
  });
}

cudaError_t GateUp(const FfnJob& job, const Context& context) {
  return ChooseTokens(job.usual, [&]<int kTokens>() {
    return Launch(GateUpKernel<kTokens>,
                  {GridOf(job, job.width, kTokens), dim3(kProductThreads),
                   Shared<kAnyProductBytes<2, kTokens>, kTokens>::kBytes},
                  context, job);
  });
}

cudaError_t Down(const FfnJob& job, const Context& context) {
  return ChooseTokens(job.usual, [&]<int kTokens>() {
    return Launch(DownKernel<kTokens>,
                  {GridOf(job, job.hidden, kTokens), dim3(kProductThreads),
                   Shared<kAnyProductBytes<1, kTokens>, kTokens>::kBytes},
                  context, job);
  });
}

cudaError_t RunJob(const FfnJob& job, const Context& context) {
  if (job.rows == 0) return cudaSuccess;
  cudaError_t error = ShrinkGateUp(job, context);
  if (error == cudaSuccess) error = GateUp(job, context);
  if (error == cudaSuccess) error = ShrinkDown(job, context);
  if (error == cudaSuccess) error = Down(job, context);
  if (error == cudaSuccess) error = CombineEntries(job, context);
  return error;
}

}  // namespace

cudaError_t ShrinkGateUp(const FfnJob& job, const Context& context) {
  return Shrink<false>(job, context);
}

cudaError_t ShrinkDown(const FfnJob& job, const Context& context) {
  return Shrink<true>(job, context);
}

cudaError_t CombineEntries(const FfnJob& job, const Context& context) {
  const dim3 grid(static_cast<unsigned>(job.rows),
                  static_cast<unsigned>(DivideUp(job.hidden, kCombineThreads)));
  return Launch(CombineKernel, {grid, dim3(kCombineThreads)}, context, job);
}

FfnJob JobOf(const ExpertFfnArgs& args, const Context& context) {
  GH_CHECK_GE(args.rows, 0);
  GH_CHECK(args.table != nullptr && args.group_begin != nullptr && args.group_entry != nullptr);
  // Twice as many as there would be if all slots had equally many.
  const int64_t usual = DivideUp(2 * args.rows * args.k, args.slots);
  return {.x = args.x,
          .table = args.table,
          .only = {},
          .group_begin = args.group_begin,
          .group_entry = args.group_entry,
          .slot_of = args.slot,
          .expert = args.expert,
          .weight = args.weight,
          .y = args.y,
          .h = context.scratch.hidden,
          .entry_out = context.scratch.entry_out,
          .rows = args.rows,
          .k = args.k,
          .slots = args.slots,
          .hidden = args.hidden,
          .width = args.width,
          .x_stride = args.x_stride,
          .y_stride = args.y_stride,
          .gate_up_low_rank = args.gate_up_low_rank,
          .down_low_rank = args.down_low_rank,
          .usual = usual < args.rows ? usual : args.rows};
}

FfnJob JobOf(const FfnArgs& args, const Context& context) {
  GH_CHECK_GE(args.rows, 0);
  GH_CHECK(!args.w.gate_up.empty() && !args.w.down.empty());
  GH_CHECK_EQ(args.w.gate_up.out, 2 * args.width);
  GH_CHECK_EQ(args.w.gate_up.in, args.hidden);
  GH_CHECK_EQ(args.w.down.out, args.hidden);
  GH_CHECK_EQ(args.w.down.in, args.width);
  return {.x = args.x,
          .table = nullptr,
          .only = args.w,
          .group_begin = nullptr,
          .group_entry = nullptr,
          .slot_of = nullptr,
          .expert = nullptr,
          .weight = args.weight,
          .y = args.y,
          .h = context.scratch.hidden,
          .entry_out = context.scratch.entry_out,
          .rows = args.rows,
          .k = 1,
          .slots = 1,
          .hidden = args.hidden,
          .width = args.width,
          .x_stride = args.x_stride,
          .y_stride = args.y_stride,
          .gate_up_low_rank = args.gate_up_low_rank,
          .down_low_rank = args.down_low_rank,
          .usual = args.rows};
}

cudaError_t ExpertFfnOp(const ExpertFfnArgs& args, const Context& context) {
  return RunJob(JobOf(args, context), context);
}

cudaError_t FfnOp(const FfnArgs& args, const Context& context) {
  return RunJob(JobOf(args, context), context);
}

}  // namespace guildhall::cuda
