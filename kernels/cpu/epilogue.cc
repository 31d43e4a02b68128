#include "kernels/cpu/epilogue.h"

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/epilogue.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most a panel wide, so that every vector of a tile lies in one panel.
using Floats = hn::CappedTag<float, kPanelColumns>;
using Vector = hn::Vec<Floats>;

// 1 / (1 + exp(-v)); the clamp keeps exp finite, a NaN stays one.
HWY_INLINE Vector Sigmoid(Floats d, Vector v) {
  const Vector one = hn::Set(d, 1.0f);
  const Vector exponent = hn::Min(hn::Neg(v), hn::Set(d, 88.0f));
  const Vector result = hn::Div(one, hn::Add(one, hn::Exp(d, exponent)));
  return hn::IfThenElse(hn::IsNaN(v), v, result);
}

// `count` elements, zeros behind them. Memory past the end is not touched: masked loads and stores do where a
// level has no instruction for them.
HWY_INLINE Vector LoadSome(Floats d, const float* p, size_t count) {
  if (count >= hn::Lanes(d)) return hn::LoadU(d, p);
  alignas(64) float part[hn::MaxLanes(d)] = {};
  for (size_t i = 0; i < count; ++i) part[i] = p[i];
  return hn::Load(d, part);
}

HWY_INLINE void StoreSome(Floats d, Vector v, float* p, size_t count) {
  if (count >= hn::Lanes(d)) return hn::StoreU(v, d, p);
  alignas(64) float part[hn::MaxLanes(d)];
  hn::Store(v, d, part);
  for (size_t i = 0; i < count; ++i) p[i] = part[i];
}

void StoreTileImpl(const StoreArgs& args) {
  const Floats d;
  const Vector limit = hn::Set(d, args.clip);
  const auto columns = static_cast<size_t>(args.columns);
  for (int r = 0; r < args.rows; ++r) {
    const float* tile = args.tile + r * kTileStride;
    for (size_t c = 0; c < columns; c += hn::Lanes(d)) {
      const size_t left = columns - c;
      Vector v = hn::LoadU(d, tile + c);
      if (args.bias != nullptr) v = hn::Add(v, LoadSome(d, args.bias + c, left));
      if (args.clip > 0.0f) {
        v = hn::IfThenElse(hn::Gt(v, limit), limit, v);
        v = hn::IfThenElse(hn::Lt(v, hn::Neg(limit)), hn::Neg(limit), v);
      }
      if (args.sigmoid) v = Sigmoid(d, v);
      if (args.accumulate) v = hn::Add(LoadSome(d, args.y[r] + c, left), v);
      StoreSome(d, v, args.y[r] + c, left);
    }
  }
}

void StoreSwiGluImpl(const SwiGluArgs& args) {
  const Floats d;
  const auto columns = static_cast<size_t>(args.columns);
  for (int r = 0; r < args.rows; ++r) {
    float* h = args.h + r * args.h_stride;
    for (size_t c = 0; c < columns; c += hn::Lanes(d)) {
      const size_t left = columns - c;
      // Column c of h is column c % 16 of panels 2 (c / 16) and the next.
      const float* tile = args.tile + r * kTileStride + c / kPanelColumns * kPanelColumns + c;
      Vector gate = hn::LoadU(d, tile);
      Vector up = hn::LoadU(d, tile + kPanelColumns);
      if (args.gate_bias != nullptr) gate = hn::Add(gate, LoadSome(d, args.gate_bias + c, left));
      if (args.up_bias != nullptr) up = hn::Add(up, LoadSome(d, args.up_bias + c, left));
      StoreSome(d, hn::Mul(hn::Mul(gate, Sigmoid(d, gate)), up), h + c, left);
    }
  }
}

void AddWeighedSumImpl(const WeighedSumArgs& args) {
  const Floats d;
  const auto width = static_cast<size_t>(args.width);
  for (size_t i = 0; i < width; i += hn::Lanes(d)) {
    const size_t left = width - i;
    Vector sum = hn::Zero(d);
    for (int64_t j = 0; j < args.count; ++j) {
      if (args.part != nullptr && args.part[j] < 0) continue;
      const Vector weight = hn::Set(d, args.weight != nullptr ? args.weight[j] : 1.0f);
      sum = hn::MulAdd(weight, LoadSome(d, args.parts + j * args.part_stride + i, left), sum);
    }
    StoreSome(d, hn::Add(LoadSome(d, args.y + i, left), sum), args.y + i, left);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(StoreTileImpl);
HWY_EXPORT(StoreSwiGluImpl);
HWY_EXPORT(AddWeighedSumImpl);

void StoreTile(const StoreArgs& args, Isa isa) {
  GH_SIMD(StoreTileImpl, isa)(args);
}
void StoreSwiGlu(const SwiGluArgs& args, Isa isa) {
  GH_SIMD(StoreSwiGluImpl, isa)(args);
}
void AddWeighedSum(const WeighedSumArgs& args, Isa isa) {
  GH_SIMD(AddWeighedSumImpl, isa)(args);
}

}  // namespace guildhall
#endif
