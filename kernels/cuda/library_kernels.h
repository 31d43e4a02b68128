// The kernels around a library's product: its operands are made row-major, its sums go through the ops' own
// epilogues.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/cuda/ffn_job.h"
#include "kernels/ops.h"

namespace guildhall::cuda {

// What both operands of a product with weights of a format are. f16 becomes float, exactly, and x is rounded
// to tf32; quantized weights are rounded to bf16.
__host__ __device__ constexpr bool OperandsAreFloats(WeightFormat format) {
  return format == WeightFormat::kF32 || format == WeightFormat::kF16;
}

// Some outputs of a packed matrix, each of its parts one behind the other: (parts, outputs, k).
struct UnpackArgs {
  const std::byte* packed;
  WeightFormat format;
  int parts;        // 2: gate and up
  int64_t out, in;  // of each part
  int64_t first_output, outputs;
  int64_t k;  // `in` and zeros behind it
  void* to;
};
cudaError_t UnpackOutputs(const UnpackArgs& args, const Context& context);

// Rows of x: (rows, k). Row i is that of first + i, or of entry[first + i] / entries_per_row.
struct RoundRowsArgs {
  const float* x;
  int64_t x_stride;
  const int32_t* entry = nullptr;
  int64_t entries_per_row = 1;
  int64_t first = 0, rows = 0;
  WeightFormat format = WeightFormat::kF32;  // of the weights that they are multiplied with
  int64_t in = 0, k = 0;
  void* to = nullptr;
};
cudaError_t RoundRows(const RoundRowsArgs& args, const Context& context);

// Finished sums of some rows or places, (rows, parts, outputs).
struct SumBlock {
  const float* sums;
  int64_t first_row, rows;
  int64_t first_output, outputs;
};
// What stands behind the sums of a product; of a network's first product, h; of its second one, entry_out.
// `only` of the job: the weights of the slot whose places they are.
cudaError_t FinishMatMul(const MatMulArgs& args, const SumBlock& block, const Context& context);
cudaError_t FinishGateUp(const FfnJob& job, const SumBlock& block, const Context& context);
cudaError_t FinishDown(const FfnJob& job, const SumBlock& block, const Context& context);

}  // namespace guildhall::cuda
