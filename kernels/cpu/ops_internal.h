// The CPU ops as free functions, one source file each; CpuBackend forwards to them. Arguments: kernels/ops.h.
#pragma once

#include <cstddef>

#include "kernels/cpu/context.h"
#include "kernels/op_list.h"
#include "kernels/ops.h"

namespace guildhall {

#define GH_DECLARE(Name, name) void Name##Op(const Name##Args& args, CpuContext& context);
GH_FOR_EACH_OP(GH_DECLARE)
#undef GH_DECLARE

// Bytes of one KV block of one layer in the layout of AppendKvOp and AttentionOp.
size_t CpuKvBlockBytes(const KvShape& shape);

// Bytes that AttentionOp and its neighbours want of Scratch::Worker() for steps within `limits`.
size_t WorkerScratchBytes(const StepLimits& limits);

}  // namespace guildhall
