#include "kernels/cpu/quantize.h"

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Products and sums are rounded apart (no MulAdd): some levels have no instruction that does both.
using Floats = hn::CappedTag<float, kPanelColumns>;
using Vector = hn::Vec<Floats>;
using Ints = hn::RebindToSigned<Floats>;

// ---- Rows ----

// Magnitudes as integers: a NaN is above infinity, infinity above all numbers.
HWY_INLINE int32_t LargestMagnitude(const float* x) {
  const Floats d;
  const Ints di;
  auto largest = hn::Zero(di);
  for (size_t i = 0; i < kQuantBlock; i += hn::Lanes(d)) {
    largest = hn::Max(largest, hn::BitCast(di, hn::Abs(hn::LoadU(d, x + i))));
  }
  return hn::GetLane(hn::MaxOfLanes(di, largest));
}

constexpr int32_t kInfinityBits = 0x7f800000;

HWY_INLINE void QuantizeBlock(const float* x, RowBlock& block) {
  const Floats d;
  const Ints di;
  const hn::Rebind<int8_t, Floats> d8;
  const int32_t bits = LargestMagnitude(x);
  const float largest = std::bit_cast<float>(bits);
  if (!(largest >= kSmallestMagnitude) || bits >= kInfinityBits) {
    block = {};
    if (bits >= kInfinityBits) block.scale = std::bit_cast<float>(kInfinityBits | 0x400000);
    return;
  }
  const Vector inverse = hn::Set(d, 127.0f / largest);
  auto sum = hn::Zero(di);
  for (size_t i = 0; i < kQuantBlock; i += hn::Lanes(d)) {
    // At most 127 in magnitude: 127 / largest * largest is off by a few units in the last place only.
    const auto q = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), inverse));
    sum = hn::Add(sum, q);
    hn::StoreU(hn::DemoteTo(d8, q), d8, block.q + i);
  }
  block.scale = largest / 127.0f;
  block.sum = hn::GetLane(hn::SumOfLanes(di, sum));
}

void QuantizeRowImpl(const float* x, int64_t width, RowBlock* blocks) {
  int64_t i = 0;
  for (; i + kQuantBlock <= width; i += kQuantBlock) QuantizeBlock(x + i, *blocks++);
  if (i == width) return;
  HWY_ALIGN float end[kQuantBlock] = {};
  std::copy_n(x + i, width - i, end);
  QuantizeBlock(end, *blocks);
}

// ---- Weights: every lane is a column ----

// The nearest integer, ties to even, of |v| < 2^22.
HWY_INLINE Vector Nearest(Vector v) {
  const Floats d;
  const Vector magic = hn::Set(d, 0x1.8p23f);
  return hn::Sub(hn::Add(v, magic), magic);
}

HWY_INLINE Vector Clamp(Vector v, float low, float high) {
  const Floats d;
  return hn::Min(hn::Max(v, hn::Set(d, low)), hn::Set(d, high));
}

// To bf16, ties to even, as a float. No NaN, nothing that would overflow.
HWY_INLINE Vector RoundToBF16(Vector v) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  return hn::BitCast(d, hn::And(rounded, hn::Set(du, 0xffff0000u)));
}

HWY_INLINE void StoreUpperHalf(Vector v, uint16_t* to) {
  const hn::RebindToUnsigned<Floats> du;
  const Ints di;
  const hn::Rebind<uint16_t, Floats> d16;
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, hn::ShiftRight<16>(hn::BitCast(du, v)))), d16, to);
}

HWY_INLINE void StoreCodes(Vector codes, uint8_t* to) {
  const Ints di;
  const hn::Rebind<uint8_t, Floats> d8;
  hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, codes)), d8, to);
}

// Some columns of a block, and what all formats ask of them.
struct Columns {
  const float* w;  // the first of the columns
  int64_t count;

  HWY_INLINE Vector operator[](int64_t k) const { return hn::LoadU(Floats(), w + k * kPanelColumns); }

  // The element of the largest magnitude, the first of equal ones; of NaN, infinity and numbers in this
  // order.
  HWY_INLINE Vector Extreme() const {
    const Ints di;
    Vector extreme = (*this)[0];
    for (int64_t k = 1; k < count; ++k) {
      const Vector v = (*this)[k];
      const auto larger = hn::Gt(hn::BitCast(di, hn::Abs(v)), hn::BitCast(di, hn::Abs(extreme)));
      extreme = hn::IfThenElse(hn::RebindMask(Floats(), larger), v, extreme);
    }
    return extreme;
  }
};

// scale * (code - bias) + offset
struct Fit {
  Vector scale, offset;
};

// Writes scale, offset and codes: code = round((w - offset) / scale) + bias within [0, high]; everything zero
// where the extreme is tiny, a scale of NaN where it is no number.
HWY_INLINE void Finish(const Columns& columns, Vector extreme, Fit fit, float bias, float low, float high,
                       size_t column, PanelBlock& block) {
  const Floats d;
  const Ints di;
  const auto bits = hn::BitCast(di, hn::Abs(extreme));
  const auto broken = hn::RebindMask(d, hn::Gt(bits, hn::Set(di, kInfinityBits - 1)));
  const auto usable = hn::AndNot(broken, hn::Gt(hn::Abs(fit.scale), hn::Zero(d)));
  const Vector offset = hn::IfThenElseZero(hn::Not(broken), fit.offset);
  const Vector inverse = hn::IfThenElseZero(
      usable, hn::Div(hn::Set(d, 1.0f), hn::IfThenElse(usable, fit.scale, hn::Set(d, 1.0f))));
  const Vector nan = hn::BitCast(d, hn::Set(di, kInfinityBits | 0x400000));
  const Vector scale = hn::IfThenElse(broken, nan, hn::IfThenElseZero(usable, fit.scale));
  StoreUpperHalf(scale, block.scale + column);
  StoreUpperHalf(offset, block.offset + column);
  for (int64_t k = 0; k < kQuantBlock; ++k) {
    Vector code = hn::Set(d, bias);
    if (k < columns.count) {
      const Vector v = Clamp(hn::Mul(hn::Sub(columns[k], offset), inverse), low - 1.0f, high + 1.0f);
      code = hn::Add(Clamp(Nearest(hn::IfThenElseZero(usable, v)), low, high), code);
    }
    StoreCodes(code, block.code[k] + column);
  }
}

HWY_INLINE void QuantizeInt8(const Columns& columns, size_t column, PanelBlock& block) {
  const Floats d;
  const Vector extreme = columns.Extreme();
  const Vector magnitude = hn::Abs(extreme);
  const auto usable =
      hn::And(hn::Ge(magnitude, hn::Set(d, kSmallestMagnitude)), hn::Lt(magnitude, hn::Inf(d)));
  // Rounded down to bf16 by 2^-8 of itself at most, which makes 127 a 127.5: no code is more than half a step
  // off.
  const Vector scale =
      RoundToBF16(hn::Div(hn::IfThenElse(usable, magnitude, hn::Zero(d)), hn::Set(d, 127.0f)));
  Finish(columns, extreme, {scale, hn::Zero(d)}, 128.0f, -127.0f, 127.0f, column, block);
}

// The extreme becomes each of these codes in turn, fractions included; then the scale that fits the codes
// best is known in closed form. -8 alone would leave a tenth more squared error on a normal distribution, a
// fine grid a hundredth less.
constexpr float kExtremes[] = {-8.0f, -7.5f, -7.0f, -8.5f, -9.0f};

HWY_INLINE void QuantizeInt4(const Columns& columns, size_t column, PanelBlock& block) {
  const Floats d;
  const Vector extreme = columns.Extreme();
  const Vector magnitude = hn::Abs(extreme);
  const auto usable =
      hn::And(hn::Ge(magnitude, hn::Set(d, kSmallestMagnitude)), hn::Lt(magnitude, hn::Inf(d)));
  const Vector unit = hn::IfThenElse(usable, extreme, hn::Set(d, 1.0f));
  Vector best = hn::Zero(d), best_scale = hn::Zero(d);
  for (const float target : kExtremes) {
    // In units of the extreme, so that no sum of squares leaves the range.
    const Vector inverse = hn::Div(hn::Set(d, 1.0f), unit);
    Vector wq = hn::Zero(d), qq = hn::Zero(d);
    for (int64_t k = 0; k < columns.count; ++k) {
      const Vector v = hn::IfThenElseZero(usable, hn::Mul(columns[k], inverse));
      const Vector q = Clamp(Nearest(hn::Mul(v, hn::Set(d, target))), -8.0f, 7.0f);
      wq = hn::Add(wq, hn::Mul(v, q));
      qq = hn::Add(qq, hn::Mul(q, q));
    }
    // The squared error is sum(v v) - wq wq / qq; the extreme's own code is never zero.
    const Vector safe = hn::Max(qq, hn::Set(d, 1.0f));
    const Vector gain = hn::Div(hn::Mul(wq, wq), safe);
    const auto better = hn::Gt(gain, best);
    best = hn::IfThenElse(better, gain, best);
    best_scale = hn::IfThenElse(better, hn::Div(wq, safe), best_scale);
  }
  const Vector scale = RoundToBF16(hn::IfThenElseZero(usable, hn::Mul(best_scale, unit)));
  Finish(columns, extreme, {scale, hn::Zero(d)}, 8.0f, -8.0f, 7.0f, column, block);
}

constexpr float kLargestBF16 = 0x1.fep127f;

// Steps that the range from the least to the largest element is cut into, in turn.
constexpr float kSteps[] = {15.0f, 14.5f, 15.5f, 16.0f, 16.5f};

HWY_INLINE void QuantizeInt4Offset(const Columns& columns, size_t column, PanelBlock& block) {
  const Floats d;
  const Vector extreme = columns.Extreme();
  const Vector magnitude = hn::Abs(extreme);
  const auto usable =
      hn::And(hn::Ge(magnitude, hn::Set(d, kSmallestMagnitude)), hn::Lt(magnitude, hn::Inf(d)));
  // In units of the largest magnitude, so that no sum leaves the range.
  const Vector unit = hn::IfThenElse(usable, magnitude, hn::Set(d, 1.0f));
  const Vector inverse = hn::Div(hn::Set(d, 1.0f), unit);
  const auto value = [&](int64_t k)
                         HWY_ATTR { return hn::IfThenElseZero(usable, hn::Mul(columns[k], inverse)); };
  Vector least = value(0), most = value(0), sum_w = hn::Zero(d);
  for (int64_t k = 0; k < columns.count; ++k) {
    least = hn::Min(least, value(k));
    most = hn::Max(most, value(k));
    sum_w = hn::Add(sum_w, value(k));
  }
  const Vector range = hn::Sub(most, least);
  const auto flat = hn::Lt(range, hn::Set(d, 0x1p-20f));
  const Vector n = hn::Set(d, static_cast<float>(columns.count));
  Vector best = hn::Set(d, -1.0f), best_scale = hn::Zero(d), best_offset = least;
  for (const float steps : kSteps) {
    const Vector factor = hn::IfThenElseZero(
        hn::Not(flat), hn::Div(hn::Set(d, steps), hn::IfThenElse(flat, hn::Set(d, 1.0f), range)));
    // More steps than codes: what does not fit is cut off at both ends alike.
    const Vector shift = hn::Set(d, (15.0f - steps) / 2.0f);
    Vector q1 = hn::Zero(d), q2 = hn::Zero(d), wq = hn::Zero(d);
    for (int64_t k = 0; k < columns.count; ++k) {
      const Vector v = hn::Sub(value(k), least);
      const Vector q = Clamp(Nearest(hn::Add(hn::Mul(v, factor), shift)), 0.0f, 15.0f);
      q1 = hn::Add(q1, q);
      q2 = hn::Add(q2, hn::Mul(q, q));
      wq = hn::Add(wq, hn::Mul(v, q));
    }
    // Regression of v = w - least on the codes; the sums of codes are exact.
    const Vector sum_v = hn::Sub(sum_w, hn::Mul(n, least));
    const Vector covariance = hn::Sub(hn::Mul(n, wq), hn::Mul(q1, sum_v));
    const Vector variance = hn::Sub(hn::Mul(n, q2), hn::Mul(q1, q1));
    const Vector safe = hn::Max(variance, hn::Set(d, 1.0f));
    const Vector gain = hn::Div(hn::Mul(covariance, covariance), safe);
    const auto better = hn::And(hn::Gt(gain, best), hn::Gt(covariance, hn::Zero(d)));
    const Vector slope = hn::Div(covariance, safe);
    best = hn::IfThenElse(better, gain, best);
    best_scale = hn::IfThenElse(better, slope, best_scale);
    best_offset =
        hn::IfThenElse(better, hn::Add(least, hn::Div(hn::Sub(sum_v, hn::Mul(slope, q1)), n)), best_offset);
  }
  const Vector back = hn::IfThenElseZero(usable, unit);
  const Vector offset = Clamp(hn::Mul(best_offset, back), -kLargestBF16, kLargestBF16);
  Finish(columns, extreme, {RoundToBF16(hn::Mul(best_scale, back)), RoundToBF16(offset)}, 0.0f, 0.0f, 15.0f,
         column, block);
}

void QuantizePanelBlockImpl(const float* w, int64_t count, WeightFormat format, PanelBlock& block) {
  for (size_t column = 0; column < kPanelColumns; column += hn::Lanes(Floats())) {
    const Columns columns{w + column, count};
    if (format == WeightFormat::kInt8) QuantizeInt8(columns, column, block);
    if (format == WeightFormat::kInt4) QuantizeInt4(columns, column, block);
    if (format == WeightFormat::kInt4Offset) QuantizeInt4Offset(columns, column, block);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(QuantizeRowImpl);
HWY_EXPORT(QuantizePanelBlockImpl);

void QuantizeRow(const float* x, int64_t width, RowBlock* blocks, Isa isa) {
  GH_SIMD(QuantizeRowImpl, isa)(x, width, blocks);
}

void QuantizePanelBlock(const float* w, int64_t count, WeightFormat format, Isa isa, PanelBlock& block) {
  GH_CHECK(IsQuantized(format));
  GH_CHECK(count > 0 && count <= kQuantBlock);
  GH_SIMD(QuantizePanelBlockImpl, isa)(w, count, format, block);
}

void QuantizePanelBlock(const float* w, int64_t count, WeightFormat format, PanelBlock& block) {
  static const Isa best = SupportedIsas().back();
  QuantizePanelBlock(w, count, format, best, block);
}

}  // namespace guildhall
#endif  // HWY_ONCE
