// The ops of the reference back end. Arguments: kernels/ops.h; all pointers are the device's.
#pragma once

#include "kernels/op_list.h"
#include "kernels/ops.h"
#include "tests/reference/guarded_memory.h"

namespace guildhall::reference {

#define GH_DECLARE(Name, name) void Name(const Name##Args& args, const GuardedMemory& memory);
GH_FOR_EACH_OP(GH_DECLARE)
#undef GH_DECLARE

// A KV block: keys (kv_heads, 16, key_dim), then values (kv_heads, 16, value_dim) unless the keys hold them.
int64_t KvBlockFloats(const KvShape& shape);

}  // namespace guildhall::reference
