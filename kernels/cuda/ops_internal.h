// One launcher per op, in the source of the op's name. Checks its arguments, enqueues on the context's
// stream and returns what the launch said.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/context.h"
#include "kernels/op_list.h"
#include "kernels/ops.h"

namespace guildhall::cuda {

#define GH_DECLARE(Name, name) cudaError_t Name##Op(const Name##Args& args, const Context& context);
GH_FOR_EACH_OP(GH_DECLARE)
#undef GH_DECLARE

}  // namespace guildhall::cuda
