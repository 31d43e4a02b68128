// The instruction-set levels of the CPU back end and the choice among them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

// Ascending. Every level runs on a CPU that has a higher one, so that tests can run them all on one machine.
enum class Isa {
  kPortable,  // what the compiler's baseline gives
  kAvx2,      // AVX2 + FMA + F16C
  kAvx512,    // AVX-512 F/BW/DQ/VL + VNNI + BF16
};

// "portable", "avx2", "avx512".
std::string_view IsaName(Isa isa);

// The levels that this CPU and its operating system support, ascending; never empty.
std::vector<Isa> SupportedIsas();

// `name` as in CpuOptions::isa: "" asks the variable GUILDHALL_ISA, and without it the best level is taken.
// INVALID_ARGUMENT, naming the possible levels, for a name that is unknown or that this CPU lacks.
absl::StatusOr<Isa> ChooseIsa(std::string_view name);

}  // namespace guildhall
