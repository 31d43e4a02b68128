// Who wants to know what ops take: the interface between a back end and a profile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/op_cost.h"
#include "kernels/op_list.h"

namespace guildhall {

enum class OpKind {
#define GH_KIND(Name, name) k##Name,
  GH_FOR_EACH_OP(GH_KIND)
#undef GH_KIND
};

// "matmul", "expert_ffn".
const char* OpName(OpKind kind);

inline constexpr int kOpKinds = 0
#define GH_COUNT(Name, name) +1
    GH_FOR_EACH_OP(GH_COUNT)
#undef GH_COUNT
    ;

// Told of ops in the order in which they are computed, by the thread that calls them or that awaits their
// end; times are SteadyNs(). A back end that splits ops into parallel loops tells of these, too, between an
// op's two calls.
class OpObserver : public LoopObserver {
 public:
  // `weights`: the address of the matrix that the op multiplies by, which names the product; null: none.
  virtual void OpBegins(OpKind kind, const std::byte* weights) = 0;
  virtual void OpEnds(const OpCost& cost, int64_t begin_ns, int64_t end_ns) = 0;
};

}  // namespace guildhall
