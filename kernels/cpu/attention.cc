#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/gate_row.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/step.h"

namespace guildhall {
namespace {

void CheckArgs(const AttentionArgs& args, const CpuContext& context) {
  GH_CHECK(args.step == &context.step.data());
  GH_CHECK_GE(static_cast<size_t>(args.block_stride), CpuKvBlockBytes(args.shape));
  GH_CHECK_GT(args.heads, 0);
  GH_CHECK_EQ(args.heads % args.shape.kv_heads, 0);
  GH_CHECK_GE(args.window, 0);
  GH_CHECK_LE(args.step->rows, context.scratch.limits.max_rows);
}

void AttendByParts(const AttentionArgs& args, const AttentionKernels& kernels, const AttentionPlan& plan,
                   CpuContext& context) {
  const Scratch& scratch = context.scratch;
  const int64_t parts = plan.parts;
  const PartStates states{reinterpret_cast<float*>(scratch.hidden), args.heads, parts,
                          StateFloats(args.shape.value_dim)};
  context.pool.Run(plan.tiles * parts, [&](int64_t item, int worker) {
    AttendPart(args, kernels, plan.Tile(item / parts), item % parts, states,
               reinterpret_cast<float*>(scratch.Worker(worker)));
  });
  context.pool.Run(args.step->rows * args.heads, [&](int64_t query, int) {
    if (args.step->kv_place[query / args.heads] < 0) return;
    MergeParts(args, kernels, query / args.heads, query % args.heads, states);
  });
}

}  // namespace

AttentionKernels ChooseAttentionKernels(const KvShape& shape, Isa isa) {
  // Codes of int8 have become bf16.
  const DType numbers = shape.format == KvFormat::kF32   ? DType::kF32
                        : shape.format == KvFormat::kF16 ? DType::kF16
                                                         : DType::kBF16;
  AttentionKernels kernels{};
  ChooseSoftmax(isa, kernels);
  kernels.score = ChooseScore(numbers, shape.value_in_key, isa);
  kernels.add_values = ChooseAddValues(numbers, shape.value_in_key, isa);
#if defined(__x86_64__)
  if (numbers == DType::kBF16 && isa == Isa::kAvx512) ChooseBF16Dot(shape.value_in_key, kernels);
#endif
  return kernels;
}

void AttentionOp(const AttentionArgs& args, CpuContext& context) {
  if (args.step->rows == 0) return;
  CheckArgs(args, context);
  const Scratch& scratch = context.scratch;
  const int64_t max_queries =
      (static_cast<int64_t>(scratch.worker_bytes / sizeof(float)) - AttentionTileFloats(args.shape)) /
      AttentionQueryFloats(args.shape);
  GH_CHECK_GE(max_queries, 1);
  const AttentionKind kind{
      .heads = args.heads,
      .kv_heads = args.shape.kv_heads,
      .max_queries = max_queries,
      .state_bytes = StateFloats(args.shape.value_dim) * static_cast<int64_t>(sizeof(float)),
      .window = args.window};
  const AttentionPlan& plan = context.step.Attention(kind, scratch.hidden_bytes, context.pool.threads());
  const AttentionKernels kernels = ChooseAttentionKernels(args.shape, context.isa);
  if (plan.parts > 1) return AttendByParts(args, kernels, plan, context);
  context.pool.Run(plan.tiles, [&](int64_t item, int worker) {
    AttendTile(args, kernels, plan.Tile(item), reinterpret_cast<float*>(scratch.Worker(worker)));
  });
}

size_t WorkerScratchBytes(const StepLimits& limits) {
  // Attention's full tile up to keys and values of 1024 elements; beyond, its tiles get smaller.
  constexpr KvShape kLarge{.kv_heads = 1, .key_dim = 1024, .value_dim = 1024, .format = KvFormat::kInt8};
  constexpr size_t kAttention =
      sizeof(float) * (AttentionTileFloats(kLarge) + kMaxTileQueries * AttentionQueryFloats(kLarge));
  return std::max(kAttention, sizeof(float) * static_cast<size_t>(GateScratchFloats(limits.max_experts)));
}

}  // namespace guildhall
