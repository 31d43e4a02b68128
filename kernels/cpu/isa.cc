#include "kernels/cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstdlib>

#include "base/str_cat.h"

namespace guildhall {
namespace {

#if defined(__x86_64__)
// clang 14 has no name for it in __builtin_cpu_supports.
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c();
}

bool HasAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}
#else
bool HasAvx2() {
  return false;
}
bool HasAvx512() {
  return false;
}
#endif

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "?";
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> isas = {Isa::kPortable};
  if (HasAvx2()) isas.push_back(Isa::kAvx2);
  if (HasAvx2() && HasAvx512()) isas.push_back(Isa::kAvx512);
  return isas;
}

absl::StatusOr<Isa> ChooseIsa(std::string_view name) {
  const std::vector<Isa> isas = SupportedIsas();
  const char* origin = "isa";
  if (name.empty()) {
    const char* variable = std::getenv("GUILDHALL_ISA");
    if (variable == nullptr || *variable == '\0') return isas.back();
    name = variable;
    origin = "GUILDHALL_ISA";
  }
  std::string possible;
  for (const Isa isa : isas) {
    if (IsaName(isa) == name) return isa;
    possible += (possible.empty() ? "" : ", ") + std::string(IsaName(isa));
  }
  return absl::InvalidArgumentError(
      StrCat(origin, " \"", name, "\" is not possible on this CPU; possible here: ", possible));
}

}  // namespace guildhall
