#include "base/check.h"
#include "kernels/cuda/kv_layout.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/ptx.h"

namespace guildhall::cuda {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kLanes = 32, kWarps = 4;
constexpr uint32_t kInfinite = 0x7f800000u;  // bits of this size and more are no finite number

__device__ float NotANumber() {
  return __uint_as_float(0x7fc00000u);
}

struct Half {
  uint16_t bits;
};

__device__ void Narrow(float from, float* to) {
  *to = from;
}

__device__ void Narrow(float from, uint16_t* to) {
  *to = static_cast<uint16_t>(RoundBf16Pair(from, 0.0f));
}

__device__ void Narrow(float from, Half* to) {
  to->bits = static_cast<uint16_t>(RoundF16Pair(from, 0.0f));
}

__device__ float Widen(float value) {
  return value;
}

__device__ float Widen(uint16_t value) {
  return __uint_as_float(static_cast<uint32_t>(value) << 16);
}

__device__ float Widen(Half value) {
  return WidenF16(value.bits);
}

// Whether this lane's share of `count` numbers is finite in the cache's format.
template <typename T>
__device__ bool AreFinite(const float* from, int count, int lane) {
  bool finite = true;
  for (int i = lane; i < count; i += kLanes) {
    T narrow;
    Narrow(from[i], &narrow);
    finite = finite && (__float_as_uint(Widen(narrow)) & 0x7fffffffu) < kInfinite;
  }
  return finite;
}

// A row of `count` numbers, filled up with zeros; or all of it `instead`.
template <typename T>
__device__ void WriteRow(const float* from, int count, int columns, bool whole, float instead, T* to,
                         int lane) {
  for (int i = lane; i < columns; i += kLanes) {
    Narrow(whole ? (i < count ? from[i] : 0.0f) : instead, to + i);
  }
}

// One head of one token as numbers; the warp's lanes share the columns.
template <typename T>
__device__ void AppendNumbers(const KvLayout& layout, const float* key, const float* value, std::byte* head,
                              int token, int lane) {
  const int key_count = layout.parts[0] + layout.parts[1];
  bool finite = AreFinite<T>(key, key_count, lane);
  if (!layout.latent) finite = AreFinite<T>(value, layout.value_dim, lane) && finite;
  const bool whole = __all_sync(kAllLanes, finite) != 0;
  const float broken = NotANumber();
  T* key_row = reinterpret_cast<T*>(head + token * layout.key_row);
  WriteRow(key, layout.parts[0], layout.columns[0], whole, layout.latent ? 0.0f : broken, key_row, lane);
  WriteRow(key + layout.parts[0], layout.parts[1], layout.columns[1], whole, broken,
           key_row + layout.columns[0], lane);
  if (layout.latent) return;
  T* value_row = reinterpret_cast<T*>(head + layout.values + token * layout.value_row);
  WriteRow(value, layout.value_dim, layout.value_columns, whole, 0.0f, value_row, lane);
}

// The scale of `count` numbers: the least bf16 with which none of them exceeds 127. NaN if one of them is no
// finite number. As the CPU's.
__device__ float ScaleOf(const float* from, int count, int lane) {
  constexpr float kLeast = 0x1p-100f;  // its inverse is finite; what it rounds to 0 weighs nothing
  uint32_t most = 0;
  for (int i = lane; i < count; i += kLanes) most = max(most, __float_as_uint(from[i]) & 0x7fffffffu);
  for (int step = kLanes / 2; step > 0; step /= 2) most = max(most, __shfl_xor_sync(kAllLanes, most, step));
  if (most >= kInfinite) return NotANumber();
  const float exact = fmaxf(kLeast, __fdiv_rn(__uint_as_float(most), 127.0f));
  return __uint_as_float((__float_as_uint(exact) + 0xffffu) & 0xffff0000u);
}

// Nearest codes, ties to even; their scale goes to `scale`. Where it is NaN the codes are 0.
__device__ void WriteCodes(const float* from, int count, int columns, int8_t* to, float* scale, int lane) {
  const float step = ScaleOf(from, count, lane);
  const float inverse = step == step ? __fdiv_rn(1.0f, step) : 0.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's last bit is a whole number
  for (int i = lane; i < columns; i += kLanes) {
    const float code = i < count && step == step ? __fmul_rn(from[i], inverse) : 0.0f;
    const int nearest = __float_as_int(__fadd_rn(code, kRound)) - __float_as_int(kRound);
    to[i] = static_cast<int8_t>(nearest);
  }
  if (lane == 0) *scale = step;
}

__device__ void AppendCodes(const KvLayout& layout, const float* key, const float* value, std::byte* head,
                            int token, int lane) {
  float* scales = reinterpret_cast<float*>(head + layout.scales) + token;
  int8_t* key_row = reinterpret_cast<int8_t*>(head + token * layout.key_row);
  WriteCodes(key, layout.parts[0], layout.columns[0], key_row, scales, lane);
  if (layout.latent) {
    WriteCodes(key + layout.parts[0], layout.parts[1], layout.columns[1], key_row + layout.columns[0],
               scales + kKvBlockTokens, lane);
    return;
  }
  int8_t* value_row = reinterpret_cast<int8_t*>(head + layout.values + token * layout.value_row);
  WriteCodes(value, layout.value_dim, layout.value_columns, value_row, scales + kKvBlockTokens, lane);
}

// A warp for each head of each row.
__global__ void AppendRows(AppendKvArgs args, KvLayout layout) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y;
  const int heads = args.shape.kv_heads;
  if (item >= args.rows * heads) return;
  const int64_t row = item / heads, h = item % heads;
  const int64_t place = args.kv_place[row];
  if (place < 0) return;
  const float* key = args.k + row * args.k_stride + h * args.shape.key_dim;
  const float* value = layout.latent ? nullptr : args.v + row * args.v_stride + h * layout.value_dim;
  std::byte* head =
      static_cast<std::byte*>(args.cache) + place / kKvBlockTokens * args.block_stride + h * layout.head;
  const int token = static_cast<int>(place % kKvBlockTokens);
  switch (layout.format) {
    case KvFormat::kF32:
      return AppendNumbers<float>(layout, key, value, head, token, lane);
    case KvFormat::kBF16:
      return AppendNumbers<uint16_t>(layout, key, value, head, token, lane);
    case KvFormat::kF16:
      return AppendNumbers<Half>(layout, key, value, head, token, lane);
    case KvFormat::kInt8:
      return AppendCodes(layout, key, value, head, token, lane);
  }
}

}  // namespace

cudaError_t AppendKvOp(const AppendKvArgs& args, const Context& context) {
  GH_CHECK_GE(static_cast<size_t>(args.block_stride), CudaKvBlockBytes(args.shape));
  GH_CHECK_EQ(args.block_stride % 16, 0);
  GH_CHECK((args.v == nullptr) == args.shape.value_in_key);
  const int64_t items = args.rows * args.shape.kv_heads;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>((items + kWarps - 1) / kWarps)),
                          .block = dim3(kLanes, kWarps)};
  return Launch(AppendRows, shape, context, args, KvLayout(args.shape));
}

}  // namespace guildhall::cuda
