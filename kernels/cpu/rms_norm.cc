#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rms_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <cmath>

#include "base/check.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four lane-wise sums, then the tail as one vector filled up with zeros: the order depends on the width
// alone.
float SumOfSquares(const float* x, int64_t width) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 4 * kLanes <= width; i += 4 * kLanes) {
    const auto x0 = hn::LoadU(d, x + i), x1 = hn::LoadU(d, x + i + kLanes);
    const auto x2 = hn::LoadU(d, x + i + 2 * kLanes), x3 = hn::LoadU(d, x + i + 3 * kLanes);
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
    sum2 = hn::MulAdd(x2, x2, sum2);
    sum3 = hn::MulAdd(x3, x3, sum3);
  }
  for (; i + kLanes <= width; i += kLanes) {
    const auto v = hn::LoadU(d, x + i);
    sum0 = hn::MulAdd(v, v, sum0);
  }
  if (i < width) {
    alignas(64) float tail[kLanes] = {};
    for (int64_t j = i; j < width; ++j) tail[j - i] = x[j];
    const auto v = hn::Load(d, tail);
    sum1 = hn::MulAdd(v, v, sum1);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

// A NaN stays one.
void ClampVector(float* y, int64_t width, float limit) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  const auto high = hn::Set(d, limit), low = hn::Set(d, -limit);
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const auto v = hn::LoadU(d, y + i);
    const auto capped = hn::IfThenElse(hn::Gt(v, high), high, v);
    hn::StoreU(hn::IfThenElse(hn::Lt(capped, low), low, capped), d, y + i);
  }
  for (; i < width; ++i) y[i] = y[i] > limit ? limit : (y[i] < -limit ? -limit : y[i]);
}

// One vector of `width`; y may be x.
void NormVector(const float* x, const float* weight, float* y, int64_t width, float eps) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  const float inverse = 1.0f / std::sqrt(SumOfSquares(x, width) / static_cast<float>(width) + eps);
  const auto factor = hn::Set(d, inverse);
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), factor), hn::LoadU(d, weight + i)), d, y + i);
  }
  for (; i < width; ++i) y[i] = x[i] * inverse * weight[i];
}

void NormRows(const RmsNormArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    for (int64_t group = 0; group < args.groups; ++group) {
      NormVector(x + group * args.width, args.weight, y + group * args.width, args.width, args.eps);
      if (args.clip > 0.0f) ClampVector(y + group * args.width, args.width, args.clip);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(NormRows);

void RmsNormOp(const RmsNormArgs& args, CpuContext& context) {
  GH_CHECK_GT(args.width, 0);
  GH_CHECK_GE(args.x_stride, args.groups * args.width);
  GH_CHECK_GE(args.y_stride, args.groups * args.width);
  const auto norm_rows = GH_SIMD(NormRows, context.isa);
  ForRowChunks(context.pool, args.rows, args.groups * args.width,
               [&](int64_t begin, int64_t end, int) { norm_rows(args, begin, end); });
}

}  // namespace guildhall
#endif  // HWY_ONCE
