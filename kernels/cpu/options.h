// What the CPU back end can be told.
#pragma once

#include <string>

namespace guildhall {

struct CpuOptions {
  int threads = 0;   // 0: the allowed CPUs
  bool pin = false;  // bind threads to CPUs, see ThreadPool
  std::string isa;   // "" = GUILDHALL_ISA, else the best of this CPU
};

}  // namespace guildhall
