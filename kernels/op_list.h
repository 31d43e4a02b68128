// Every op, once: declarations and forwards of the interface, the back ends, profiles and costs are drawn
// from this list. OP(Name, name): arguments NameArgs of kernels/ops.h; `name` in profiles and traces.
#pragma once

#define GH_FOR_EACH_OP(OP)     \
  OP(Embed, embed)             \
  OP(RmsNorm, rms_norm)        \
  OP(MatMul, matmul)           \
  OP(HeadMatMul, head_matmul)  \
  OP(Rope, rope)               \
  OP(AppendKv, append_kv)      \
  OP(Attention, attention)     \
  OP(Route, route)             \
  OP(GroupBySet, group_by_set) \
  OP(ExpertFfn, expert_ffn)    \
  OP(Ffn, ffn)                 \
  OP(GatherRows, gather_rows)
