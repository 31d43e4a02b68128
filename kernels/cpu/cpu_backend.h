// The CPU's Backend: owns the thread pool, the scratch memory and the chosen instruction-set level.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/device_memory.h"
#include "kernels/cpu/options.h"

namespace guildhall {

class CpuBackend final : public Backend {
 public:
  CpuBackend(Isa isa, int threads, bool pin, size_t page_bytes = size_t{2} << 20);

  std::string Describe() const override;
  int Threads() const override { return pool_.threads(); }
  void Observe(LoopObserver* observer) override { pool_.Observe(observer); }
  absl::Status Prepare(const StepLimits& limits) override;

  DeviceMemory& memory() override { return memory_; }

  std::string layout() const override;
  size_t PackedBytes(const PackShape& shape) const override;
  void Pack(const PackShape& shape, std::span<const TensorView> parts, std::byte* to) const override;
  int64_t LowRankColumns(int64_t rank) const override;
  size_t KvBlockBytes(const KvShape& shape) const override;

  void Embed(const EmbedArgs& args) override;
  void RmsNorm(const RmsNormArgs& args) override;
  void MatMul(const MatMulArgs& args) override;
  void HeadMatMul(const HeadMatMulArgs& args) override;
  void Rope(const RopeArgs& args) override;
  void AppendKv(const AppendKvArgs& args) override;
  void Attention(const AttentionArgs& args) override;
  void Route(const RouteArgs& args) override;
  void ExpertFfn(const ExpertFfnArgs& args) override;
  void Ffn(const FfnArgs& args) override;
  void GatherRows(const GatherRowsArgs& args) override;

  // For the machine probe, which measures what ops can reach on this pool.
  CpuContext& context() { return context_; }

 private:
  CpuDeviceMemory memory_;
  ThreadPool pool_;
  Scratch scratch_;
  CpuContext context_;
};

// INVALID_ARGUMENT for an ISA that does not exist or that this CPU lacks: the message names the possible
// ones.
absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const CpuOptions& options,
                                                        size_t page_bytes = size_t{2} << 20);

}  // namespace guildhall
