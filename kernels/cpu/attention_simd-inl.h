// What the Highway sources of attention share. Included once for every target, inside of none.
#if defined(GUILDHALL_ATTENTION_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GUILDHALL_ATTENTION_SIMD_INL_H_
#undef GUILDHALL_ATTENTION_SIMD_INL_H_
#else
#define GUILDHALL_ATTENTION_SIMD_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kernels/cpu/attention_kernels.h"

// Register tiles are arrays of vectors: every loop over one must vanish.
#undef GH_UNROLL
#define GH_UNROLL _Pragma("GCC unroll 16")

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kBlockVectors = kKvBlockTokens / kLanes;
// Accumulators that stay in registers: 32 registers, or 16.
constexpr int kAccumulators = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 16 : 8;
// Queries of a register tile.
constexpr int kGroup = kAccumulators >= 4 * kBlockVectors ? 4 : 2;
static_assert(kKvBlockTokens % kLanes == 0);

HWY_INLINE V LoadWide(const float* from) {
  return hn::LoadU(D(), from);
}
HWY_INLINE V LoadWide(const uint16_t* from) {
  const hn::Rebind<uint16_t, D> du16;
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(du16, from))));
}
HWY_INLINE V LoadWide(const hwy::float16_t* from) {
#if HWY_TARGET <= HWY_AVX2
  return hn::PromoteTo(D(), hn::LoadU(hn::Rebind<hwy::float16_t, D>(), from));
#else
  // Below AVX2 Highway makes numbers of what is not finite.
  const hn::Rebind<uint16_t, D> du16;
  const hn::RebindToSigned<D> di;
  const auto bits = hn::PromoteTo(di, hn::LoadU(du16, reinterpret_cast<const uint16_t*>(from)));
  const auto size = hn::And(bits, hn::Set(di, 0x7fff));
  const V finite = hn::Mul(hn::BitCast(D(), hn::ShiftLeft<13>(size)), hn::Set(D(), 0x1p112f));
  const auto broken =
      hn::And(hn::VecFromMask(di, hn::Gt(size, hn::Set(di, 0x7bff))), hn::Set(di, 0x7f800000));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(di, 0x8000)));
  return hn::BitCast(D(), hn::Or(hn::Or(hn::BitCast(di, finite), broken), sign));
#endif
}

// The first `count` < kLanes numbers and zeros; reads nothing beyond them.
template <typename T>
HWY_INLINE V LoadWidePart(const T* from, int64_t count) {
  alignas(64) T lanes[kLanes] = {};
  std::memcpy(lanes, from, static_cast<size_t>(count) * sizeof(T));
  return LoadWide(lanes);
}

// Pairs of bf16 that are neighbours: the first or the second of each.
HWY_INLINE V FirstOfPairs(const uint16_t* from) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(
      D(), hn::ShiftLeft<16>(hn::BitCast(du, hn::LoadU(D(), reinterpret_cast<const float*>(from)))));
}
HWY_INLINE V SecondOfPairs(const uint16_t* from) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(D(), hn::And(hn::BitCast(du, hn::LoadU(D(), reinterpret_cast<const float*>(from))),
                                  hn::Set(du, 0xffff0000u)));
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#endif
