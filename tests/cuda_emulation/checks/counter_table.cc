#include "tests/cuda_emulation/checks/counter_table.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace guildhall::emulation {
namespace {

void PrintAtEnd() {
  std::fputs(EmulationCounters::Table(EmulationCounters::Take()).c_str(), stderr);
}

}  // namespace

CounterTable& CounterTable::Get() {
  static CounterTable& table = *[] {
    static CounterTable the_table;
    if (std::getenv("EMULATED_CUDA_COUNTERS") != nullptr) {
      the_table.Enable(true);
      std::atexit(&PrintAtEnd);
    }
    return &the_table;
  }();
  return table;
}

void CounterTable::Add(const std::string& kernel, const KernelAccesses& accesses) {
  const std::lock_guard lock(mutex_);
  KernelAccesses& sum = kernels_[kernel];
  ++sum.launches;
  sum.read_bytes += accesses.read_bytes;
  sum.written_bytes += accesses.written_bytes;
  sum.warp_accesses += accesses.warp_accesses;
  sum.sectors += accesses.sectors;
  sum.shared_passes += accesses.shared_passes;
  sum.bank_conflicts += accesses.bank_conflicts;
}

std::map<std::string, KernelAccesses> CounterTable::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(kernels_, {});
}

void EmulationCounters::Enable(bool on) {
  CounterTable::Get().Enable(on);
}

std::map<std::string, KernelAccesses> EmulationCounters::Take() {
  return CounterTable::Get().Take();
}

std::string EmulationCounters::Table(const std::map<std::string, KernelAccesses>& kernels) {
  std::string table = "launches   read bytes    written   accesses    sectors    passes conflicts  kernel\n";
  for (const auto& [name, k] : kernels) {
    char line[160];
    std::snprintf(line, sizeof line,
                  "%8" PRIu64 " %12" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %9" PRIu64
                  " %9" PRIu64 "  ",
                  k.launches, k.read_bytes, k.written_bytes, k.warp_accesses, k.sectors, k.shared_passes,
                  k.bank_conflicts);
    table += line + name + "\n";
  }
  return table;
}

}  // namespace guildhall::emulation
