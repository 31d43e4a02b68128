// The CPU's Backend: owns the thread pool, the scratch memory and the chosen instruction-set level.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/context.h"

namespace guildhall {

class CpuBackend final : public Backend {
 public:
  // `enum`, because the member Isa() hides the type of the same name.
  CpuBackend(enum Isa isa, int threads, bool pin);

  std::string Describe() const override;
  std::string Isa() const override;
  int Threads() const override { return pool_.threads(); }
  void Observe(LoopObserver* observer) override { pool_.Observe(observer); }
  absl::Status Prepare(const StepLimits& limits) override;

  size_t PackedBytes(WeightFormat format, int64_t out, int64_t in) const override;
  Matrix Pack(std::span<const TensorView> parts, WeightFormat format, std::byte* destination) const override;
  size_t PackedGateUpBytes(WeightFormat format, int64_t width, int64_t in) const override;
  Matrix PackGateUp(const TensorView& gate, const TensorView& up, WeightFormat format,
                    std::byte* destination) const override;
  size_t PackedLowRankBBytes(DType dtype, int64_t out_begin, int64_t out, int64_t rank) const override;
  const std::byte* PackLowRankB(const TensorView& b, DType dtype, int64_t out_begin,
                                std::byte* destination) const override;
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
  ThreadPool pool_;
  Scratch scratch_;
  CpuContext context_;
};

}  // namespace guildhall
