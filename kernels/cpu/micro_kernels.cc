#include "kernels/cpu/micro_kernels.h"

#include <algorithm>

#include "base/check.h"

namespace guildhall {

const MicroKernels& MicroKernelsOf(Isa isa) {
  const auto isas = SupportedIsas();
  GH_CHECK(std::find(isas.begin(), isas.end(), isa) != isas.end());
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return Avx512MicroKernels();
  if (isa == Isa::kAvx2) return Avx2MicroKernels();
#endif
  return PortableMicroKernels();
}

}  // namespace guildhall
