#include "kernels/cuda/library_kernels.h"

#include "kernels/cuda/ffn_job.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul_epilogue.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float WidenBF16(const std::byte* at) {
  return __uint_as_float(uint32_t{*reinterpret_cast<const uint16_t*>(at)} << 16);
}

// One weight of a tile: output o of the strip, k of the tile.
__device__ float WeightAt(const std::byte* tile, WeightFormat format, int outputs, int o, int k) {
  if (format == WeightFormat::kF32) {
    return *reinterpret_cast<const float*>(tile + PlaceOfF32(outputs, o, k));
  }
  if (format == WeightFormat::kBF16) return WidenBF16(tile + PlaceOfHalf(o, k));
  if (format == WeightFormat::kF16) {
    return WidenF16(*reinterpret_cast<const uint16_t*>(tile + PlaceOfHalf(o, k)));
  }
  const float scale = WidenBF16(tile + PlaceOfScale(format, outputs, o, k / 32));
  if (format == WeightFormat::kInt8) {
    const auto code = static_cast<int8_t>(tile[PlaceOfInt8(o, k)]);
    return scale * static_cast<float>(code);
  }
  const int code = static_cast<int>(tile[PlaceOfInt4(o, k)]) >> ShiftOfInt4(o) & 15;
  if (format == WeightFormat::kInt4) return scale * static_cast<float>(code - 8);
  return __fmaf_rn(scale, static_cast<float>(code), WidenBF16(tile + PlaceOfOffset(outputs, o, k / 32)));
}

__device__ void Store(void* to, int64_t index, float value, bool wide) {
  if (wide) {
    static_cast<float*>(to)[index] = value;
  } else {
    static_cast<uint16_t*>(to)[index] = static_cast<uint16_t>(RoundBf16Pair(value, 0.0f));
  }
}

// A thread for each k of an output.
__global__ void __launch_bounds__(kThreads) UnpackKernel(UnpackArgs args) {
  const int64_t k = int64_t{blockIdx.x} * kThreads + threadIdx.x, place = blockIdx.y;
  const int part = static_cast<int>(blockIdx.z);
  if (k >= args.k) return;
  float weight = 0.0f;
  if (k < args.in) {
    const TileLayout layout{args.format, args.parts, args.out, args.in};
    const int64_t output = args.first_output + place, strip = output / kStripOutputs;
    const int tile_k = TileK(args.format);
    weight = WeightAt(args.packed + layout.TileOffset(strip, k / tile_k, part), args.format,
                      layout.StripOutputs(strip), static_cast<int>(output % kStripOutputs),
                      static_cast<int>(k % tile_k));
  }
  Store(args.to, (part * args.outputs + place) * args.k + k, weight, OperandsAreFloats(args.format));
}

__global__ void __launch_bounds__(kThreads) RoundRowsKernel(RoundRowsArgs args) {
  const int64_t k = int64_t{blockIdx.x} * kThreads + threadIdx.x, i = blockIdx.y;
  if (k >= args.k) return;
  const int64_t row =
      args.entry == nullptr ? args.first + i : args.entry[args.first + i] / args.entries_per_row;
  float value = k < args.in ? args.x[row * args.x_stride + k] : 0.0f;
  if (args.format == WeightFormat::kF16) value = __uint_as_float(RoundTf32(value));
  Store(args.to, i * args.k + k, value, OperandsAreFloats(args.format));
}

__global__ void __launch_bounds__(kThreads) FinishMatMulKernel(MatMulArgs args, SumBlock block) {
  const int64_t o = int64_t{blockIdx.x} * kThreads + threadIdx.x, i = blockIdx.y;
  if (o >= block.outputs) return;
  const int64_t row = block.first_row + i, output = block.first_output + o;
  float& y = args.y[row * args.y_stride + output];
  y = Finish(args, row, output, block.sums[i * block.outputs + o], args.accumulate ? y : 0.0f);
}

__global__ void __launch_bounds__(kThreads) FinishGateUpKernel(FfnJob job, SumBlock block) {
  const int64_t o = int64_t{blockIdx.x} * kThreads + threadIdx.x, i = blockIdx.y;
  if (o >= block.outputs) return;
  const int64_t output = block.first_output + o;
  const int32_t entry = EntryAt(job, block.first_row + i), row = RowOf(job, entry);
  const float* sums = block.sums + i * 2 * block.outputs + o;
  float gate = WithChanges(job, job.gate_up_low_rank, entry, row, 0, output, sums[0]);
  float up = WithChanges(job, job.gate_up_low_rank, entry, row, 1, output, sums[block.outputs]);
  if (job.only.gate_bias != nullptr) gate += job.only.gate_bias[output];
  if (job.only.up_bias != nullptr) up += job.only.up_bias[output];
  job.h[entry * job.width + output] = Silu(gate) * up;
}

__global__ void __launch_bounds__(kThreads) FinishDownKernel(FfnJob job, SumBlock block) {
  const int64_t o = int64_t{blockIdx.x} * kThreads + threadIdx.x, i = blockIdx.y;
  if (o >= block.outputs) return;
  const int64_t output = block.first_output + o;
  const int32_t entry = EntryAt(job, block.first_row + i);
  float sum = WithChanges(job, job.down_low_rank, entry, RowOf(job, entry), 0, output,
                          block.sums[i * block.outputs + o]);
  if (job.only.down_bias != nullptr) sum += job.only.down_bias[output];
  job.entry_out[entry * job.hidden + output] = sum;
}

// `columns` in x, `rows` in y, which a device bounds: who calls keeps to it.
LaunchShape ShapeOf(int64_t columns, int64_t rows, int parts = 1) {
  return {dim3(static_cast<unsigned>(DivideUp(columns, kThreads)), static_cast<unsigned>(rows),
               static_cast<unsigned>(parts)),
          dim3(kThreads)};
}

}  // namespace

cudaError_t UnpackOutputs(const UnpackArgs& args, const Context& context) {
  return Launch(UnpackKernel, ShapeOf(args.k, args.outputs, args.parts), context, args);
}

cudaError_t RoundRows(const RoundRowsArgs& args, const Context& context) {
  return Launch(RoundRowsKernel, ShapeOf(args.k, args.rows), context, args);
}

cudaError_t FinishMatMul(const MatMulArgs& args, const SumBlock& block, const Context& context) {
  return Launch(FinishMatMulKernel, ShapeOf(block.outputs, block.rows), context, args, block);
}

cudaError_t FinishGateUp(const FfnJob& job, const SumBlock& block, const Context& context) {
  return Launch(FinishGateUpKernel, ShapeOf(block.outputs, block.rows), context, job, block);
}

cudaError_t FinishDown(const FfnJob& job, const SumBlock& block, const Context& context) {
  return Launch(FinishDownKernel, ShapeOf(block.outputs, block.rows), context, job, block);
}

}  // namespace guildhall::cuda
