#include "base/check.h"
#include "kernels/cuda/attention_f32.cuh"
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/attention_softmax.cuh"
#include "kernels/cuda/attention_walk.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/ptx.h"

namespace guildhall::cuda {
namespace {

// A block walks over its queries' keys; keys are fetched while the values before them are added, and values
// while their keys are scored.
template <typename Products>
__global__ void __launch_bounds__(kAttentionThreads) AttendTiles(AttentionWork work) {
  const QueryTile tile = FindTile(work);
  if (tile.rows == 0) return;
  std::byte* shared = DynamicShared();
  auto* notes = reinterpret_cast<QueryNote*>(shared + work.shared.notes);
  Products products(work, tile, shared);
  NoteQueries(work, tile, products.tiles() * kQueryRows, notes);
  Softmax<Products::kTiles> softmax;
  int token = tile.first_token / kTileTokens * kTileTokens;
  products.FetchKeys(token);
  products.FetchValues(token);
  for (bool first = true, last = false; !last; token += kTileTokens) {
    const int next = token + kTileTokens;
    last = next > tile.last_token;
    products.Score(token);
    if (!last) products.FetchKeys(next);
    softmax.Weigh(products.tiles(), token, work.scale, notes, products);
    __syncthreads();
    products.AddValues(token);
    if (last || next % kSplitTokens == 0) {
      softmax.Merge(products.tiles(), notes);
      __syncthreads();
      products.MergeSplits(first, last);
      first = false;
    }
    __syncthreads();
    if (!last) products.FetchValues(next);
  }
}

int64_t DivideUp(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Whose queries a block takes, `room` at most.
void PlanTiles(int64_t group, int room, AttentionWork& work) {
  work.group = static_cast<int>(group);
  work.heads_at_once = work.group < room ? work.group : room;
  work.rows_at_once = room / work.heads_at_once;
  work.pieces = static_cast<int>(DivideUp(group, work.heads_at_once));
}

// Bytes of shared memory; `element` of a number of queries, keys and values there.
int PlanShared(int query_columns, int key_stride, int element, int value_stride, AttentionWork& work) {
  const int queries =
      static_cast<int>(DivideUp(work.rows_at_once * work.heads_at_once, kQueryRows)) * kQueryRows;
  int bytes = 0;
  const auto take = [&bytes](int size) {
    const int begin = bytes;
    bytes += (size + 127) / 128 * 128;
    return begin;
  };
  work.shared.notes = take(queries * static_cast<int>(sizeof(QueryNote)));
  work.shared.queries = take(queries * query_columns * element);
  work.shared.keys = take(kTileTokens * key_stride * element);
  work.shared.values = take(kTileTokens * value_stride * element);
  work.shared.scores = take(queries * kScoreStride * static_cast<int>(sizeof(float)));
  work.shared.weights = take(queries * kWeightStride * static_cast<int>(sizeof(uint16_t)));
  work.shared.scales = take(3 * kTileTokens * static_cast<int>(sizeof(float)));
  return bytes;
}

template <typename Products>
cudaError_t LaunchTiles(const AttentionArgs& args, const Context& context, int element, AttentionWork work) {
  const KvLayout& layout = work.layout;
  PlanTiles(args.heads / args.shape.kv_heads, Products::kTiles * kQueryRows, work);
  work.panel = layout.value_columns < Products::kPanel ? layout.value_columns : Products::kPanel;
  const int shared = PlanShared(Products::QueryStride(layout), Products::KeyStride(layout), element,
                                layout.latent || element == 4 ? 0 : work.panel + 8, work);
  const dim3 grid(static_cast<unsigned>(work.rows), static_cast<unsigned>(args.shape.kv_heads * work.pieces),
                  static_cast<unsigned>(DivideUp(layout.value_columns, work.panel)));
  return Launch(AttendTiles<Products>,
                {.grid = grid, .block = dim3(kAttentionThreads), .shared_bytes = static_cast<size_t>(shared)},
                context, work);
}

AttentionWork MakeWork(const AttentionArgs& args) {
  const StepData& step = *args.step;
  return {.positions = step.positions,
          .sequence = step.sequence,
          .block_table = step.block_table,
          .kv_place = step.kv_place,
          .rows = step.rows,
          .max_blocks = step.max_blocks,
          .cache = static_cast<const std::byte*>(args.cache),
          .block_stride = args.block_stride,
          .layout = KvLayout(args.shape),
          .q = args.q,
          .y = args.y,
          .q_stride = args.q_stride,
          .y_stride = args.y_stride,
          .key_dim = args.shape.key_dim,
          .window = args.window,
          .scale = args.scale};
}

}  // namespace

// The path follows from the cache's format alone. Wide values leave registers, and wide keys shared memory,
// for fewer queries at once, which changes no bit.
cudaError_t AttentionOp(const AttentionArgs& args, const Context& context) {
  GH_CHECK_GE(static_cast<size_t>(args.block_stride), CudaKvBlockBytes(args.shape));
  GH_CHECK_EQ(args.block_stride % 16, 0);
  GH_CHECK_GT(args.heads, 0);
  GH_CHECK_EQ(args.heads % args.shape.kv_heads, 0);
  GH_CHECK_GE(args.window, 0);
  const AttentionWork work = MakeWork(args);
  const bool wide = work.layout.value_columns > 128 || work.layout.key_columns > 384;
  switch (args.shape.format) {
    case KvFormat::kF32:
      return wide ? LaunchTiles<F32Products<4>>(args, context, 4, work)
                  : LaunchTiles<F32Products<1>>(args, context, 4, work);
    case KvFormat::kBF16:
      return wide ? LaunchTiles<MmaProducts<1, 8, Bf16Numbers>>(args, context, 2, work)
                  : LaunchTiles<MmaProducts<4, 2, Bf16Numbers>>(args, context, 2, work);
    case KvFormat::kF16:
      return wide ? LaunchTiles<MmaProducts<1, 8, F16Numbers>>(args, context, 2, work)
                  : LaunchTiles<MmaProducts<4, 2, F16Numbers>>(args, context, 2, work);
    case KvFormat::kInt8:
      return wide ? LaunchTiles<MmaProducts<1, 8, Int8Codes>>(args, context, 2, work)
                  : LaunchTiles<MmaProducts<4, 2, Int8Codes>>(args, context, 2, work);
  }
  return cudaErrorInvalidValue;
}

}  // namespace guildhall::cuda
