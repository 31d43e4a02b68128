// The CPU ops as free functions, one source file each; CpuBackend forwards to them. Arguments: kernels/ops.h.
#pragma once

#include <cstddef>

#include "kernels/cpu/context.h"
#include "kernels/ops.h"

namespace guildhall {

void EmbedOp(const EmbedArgs& args, CpuContext& context);
void RmsNormOp(const RmsNormArgs& args, CpuContext& context);
void MatMulOp(const MatMulArgs& args, CpuContext& context);
void HeadMatMulOp(const HeadMatMulArgs& args, CpuContext& context);
void RopeOp(const RopeArgs& args, CpuContext& context);
void AppendKvOp(const AppendKvArgs& args, CpuContext& context);
void AttentionOp(const AttentionArgs& args, CpuContext& context);
void RouteOp(const RouteArgs& args, CpuContext& context);
void ExpertFfnOp(const ExpertFfnArgs& args, CpuContext& context);
void FfnOp(const FfnArgs& args, CpuContext& context);
void GatherRowsOp(const GatherRowsArgs& args, CpuContext& context);

// Bytes of one KV block of one layer in the layout of AppendKvOp and AttentionOp.
size_t CpuKvBlockBytes(const KvShape& shape);

// Bytes that AttentionOp and its neighbours want of Scratch::Worker() for steps within `limits`.
size_t WorkerScratchBytes(const StepLimits& limits);

}  // namespace guildhall
