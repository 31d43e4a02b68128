// The CPU's Backend: owns the thread pool, the scratch memory and the chosen instruction-set level.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/device_memory.h"
#include "kernels/cpu/options.h"
#include "kernels/cpu/step.h"

namespace guildhall {

class CpuBackend final : public Backend {
 public:
  CpuBackend(Isa isa, int threads, bool pin, size_t page_bytes = size_t{2} << 20);

  std::string Describe() const override;
  int lanes() const override { return pool_.threads(); }
  void Observe(OpObserver* observer) override;
  size_t ScratchBytes(const StepLimits& limits) const override;
  absl::Status Prepare(const StepLimits& limits) override;

  DeviceMemory& memory() override { return memory_; }

  std::string layout() const override;
  size_t PackedBytes(const PackShape& shape) const override;
  absl::Status PackFrom(const PackShape& shape, const PackParts& parts, std::byte* to) const override;
  int64_t LowRankColumns(int64_t rank) const override;
  size_t KvBlockBytes(const KvShape& shape) const override;

  const StepData& BeginStep(const StepInputs& inputs) override { return step_.Begin(inputs); }
#define GH_DECLARE(Name, name) void Name(const Name##Args& args) override;
  GH_FOR_EACH_OP(GH_DECLARE)
#undef GH_DECLARE
  // Ops are done when they return.
  absl::Status Finish() override {
    return absl::OkStatus();
  }

  // For the machine probe, which measures what ops can reach on this pool.
  CpuContext& context() {
    return context_;
  }

 private:
  CpuDeviceMemory memory_;
  ThreadPool pool_;
  Scratch scratch_;
  CpuStep step_;
  CpuContext context_;
  OpObserver* observer_ = nullptr;
};

// INVALID_ARGUMENT for an ISA that does not exist or that this CPU lacks: the message names the possible
// ones.
absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const CpuOptions& options,
                                                        size_t page_bytes = size_t{2} << 20);

}  // namespace guildhall
