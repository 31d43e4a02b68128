// The checking mode: looks at each load and store of kernels that were compiled for it.
#pragma once

#include <mutex>
#include <string_view>

#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/checks/access_counter.h"
#include "tests/cuda_emulation/checks/address_space.h"
#include "tests/cuda_emulation/checks/block_clock.h"
#include "tests/cuda_emulation/checks/shadow.h"

namespace guildhall::emulation {

// Ends the process at the first thing that is wrong. Sources are compiled with -fsanitize=thread, whose calls
// come here instead of to that sanitizer's own library.
class KernelChecker final : public Watcher {
 public:
  void KernelBegins(const Launch& launch) override;
  void KernelEnds(const Launch& launch) override;
  void BlockBegins(const BlockState& block) override;
  void BlockMet() override;
  void LanesMet(unsigned warp, unsigned mask, std::string_view what) override;
  void Touches(const Touched& touched) override;
  void Fences() override;
  void CopyArrives(const void* shared, size_t bytes) override;

 private:
  void Count(const Touched& touched, Space space, uint32_t place);
  [[noreturn]] void ReportFinding(const Touched& touched, const Finding& finding) const;

  std::mutex one_kernel_;  // held while it runs: those of other devices wait
  AddressSpace addresses_;
  BlockClock clock_;
  Shadow shared_{clock_, /*shared=*/true};
  Shadow global_{clock_, /*shared=*/false};
  bool counting_ = false;
  AccessCounter counter_;
};

}  // namespace guildhall::emulation
