// Highway with the choice of the target left to the caller: HWY_DYNAMIC_DISPATCH keeps one choice per
// process, a CpuContext brings its own, so that back ends of different levels live side by side.
//
// An op's source includes this header first, then names itself in HWY_TARGET_INCLUDE and includes
// hwy/foreach_target.h and hwy/highway.h; after HWY_EXPORT(Function), GH_SIMD(Function, isa) is its pointer.
#pragma once

// Scalable vectors cannot stand in arrays, which our register tiles are; NEON serves those CPUs. SSSE3 alone
// and the newest AVX-512 subset would only add compile time.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | HWY_SSSE3 | HWY_AVX3_DL)
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/targets.h"
#include "kernels/cpu/isa.h"

namespace guildhall {

// The index into a HWY_EXPORT table for the best target that `isa` allows and the CPU has. Asks CPUID, which
// is slow under a hypervisor.
inline size_t FindSimdIndex([[maybe_unused]] Isa isa) {
  if constexpr ((HWY_TARGETS & (HWY_TARGETS - 1)) == 0) {
    return 0;
  } else {
    int64_t targets = hwy::SupportedTargets();
#if HWY_ARCH_X86
    if (isa < Isa::kAvx512) targets &= ~(HWY_AVX3 | HWY_AVX3_DL);
    if (isa < Isa::kAvx2) targets &= ~HWY_AVX2;
#endif
    const int64_t mask = HWY_CHOSEN_TARGET_SHIFT(targets & HWY_TARGETS) | HWY_CHOSEN_TARGET_MASK_SCALAR;
    return hwy::Num0BitsBelowLS1Bit_Nonzero64(static_cast<uint64_t>(mask));
  }
}

inline size_t SimdIndex(Isa isa) {
  static const size_t index[] = {FindSimdIndex(Isa::kPortable), FindSimdIndex(Isa::kAvx2),
                                 FindSimdIndex(Isa::kAvx512)};
  return index[static_cast<size_t>(isa)];
}

}  // namespace guildhall

#define GH_SIMD(FUNCTION, isa) (HWY_DISPATCH_TABLE(FUNCTION)[::guildhall::SimdIndex(isa)])
