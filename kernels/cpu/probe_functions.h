// What a machine can do at most at a level; used by MachineProbe for benchmarks, never by ops.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"

namespace guildhall {

struct ProbeFunctions {
  // Reads `bytes` (a multiple of 4096) and returns something that depends on all of them.
  uint64_t (*read)(const std::byte* data, int64_t bytes);
  // Each runs `rounds` rounds on registers and returns how many operations (a multiply and an add count two)
  // that was.
  double (*fp32)(int64_t rounds);
  double (*bf16_dot)(int64_t rounds);  // null where the level has no such instruction
  double (*int8_dot)(int64_t rounds);  // likewise
};

// The level must be one of SupportedIsas().
const ProbeFunctions& ProbeFunctionsOf(Isa isa);

// One per level, each in a file of its own that is compiled for it. Only ProbeFunctionsOf() names them.
extern const ProbeFunctions kPortableProbe, kAvx2Probe, kAvx512Probe;

}  // namespace guildhall
