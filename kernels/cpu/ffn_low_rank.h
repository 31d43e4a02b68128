// Low-rank changes inside feed-forward networks, by set and logical expert of every entry: shrunk in a loop
// before each of the two products, expanded on its finished tiles. Only where the job has that product's.
#pragma once

#include <cstdint>

#include "kernels/cpu/ffn_job.h"

namespace guildhall {

// All entries' inputs of gate and up (x), and of down (h), into their small spaces. Each is one parallel
// loop.
void ShrinkGateUp(const FfnJob& job, CpuContext& context);
void ShrinkDown(const FfnJob& job, CpuContext& context);

// Adds the changes to `tile`, (rows, kTileStride), of places [place, place + rows) of the grouping. Of gate
// and up it holds panels in turn, for `columns` columns of h from `column` on; of down `columns` of the
// output's.
void ExpandGateUp(const FfnJob& job, int64_t place, int rows, int64_t column, int columns, float* tile,
                  const CpuContext& context);
void ExpandDown(const FfnJob& job, int64_t place, int rows, int64_t column, int columns, float* tile,
                const CpuContext& context);

}  // namespace guildhall
