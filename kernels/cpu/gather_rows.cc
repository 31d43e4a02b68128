#include <cstring>

#include "base/check.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"

namespace guildhall {

void GatherRowsOp(const GatherRowsArgs& args, CpuContext& context) {
  GH_CHECK_GE(args.width, 0);
  ForRowChunks(context.pool, args.rows, args.width, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      GH_CHECK_GE(args.row[i], 0);
      std::memcpy(args.y + i * args.width, args.x + args.row[i] * args.width,
                  static_cast<size_t>(args.width) * sizeof(float));
    }
  });
}

}  // namespace guildhall
