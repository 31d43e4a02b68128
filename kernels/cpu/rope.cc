#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "base/check.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// (a, b) -> (a cos - b sin, b cos + a sin), each product and sum rounded once: the same bits on every level.
// `y` is `x` or touches it nowhere.
void RotateHalves(const float* x, float* y, const float* cos, const float* sin, int64_t half) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
    const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, y + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, y + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = x[half + i];
    y[i] = a * cos[i] - b * sin[i];
    y[half + i] = b * cos[i] + a * sin[i];
  }
}

void RotatePairs(const float* x, float* y, const float* cos, const float* sin, int64_t half) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    hn::Vec<decltype(d)> a, b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    hn::StoreInterleaved2(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d,
                          y + 2 * i);
  }
  for (; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    y[2 * i] = a * cos[i] - b * sin[i];
    y[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

void RotateRows(const RopeArgs& args, int64_t begin, int64_t end) {
  const int64_t half = args.rotary / 2;
  const auto rotate = args.interleaved ? RotatePairs : RotateHalves;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t head = 0; head < args.heads; ++head) {
      float* x = args.x + row * args.x_stride + head * args.head_stride;
      float* y = args.y == nullptr ? x : args.y + row * args.y_stride + head * args.y_head_stride;
      const int64_t angles = args.position[row] * half;
      rotate(x, y, args.cos + angles, args.sin + angles, half);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(RotateRows);

void RopeOp(const RopeArgs& args, CpuContext& context) {
  GH_CHECK_EQ(args.rotary % 2, 0);
  GH_CHECK_GE(args.head_stride, args.rotary);
  const auto rotate_rows = GH_SIMD(RotateRows, context.isa);
  ForRowChunks(context.pool, args.rows, args.heads * args.rotary,
               [&](int64_t begin, int64_t end, int) { rotate_rows(args, begin, end); });
}

}  // namespace guildhall
#endif  // HWY_ONCE
