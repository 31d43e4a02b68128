#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <fstream>

#include "base/check.h"
#include "base/memory_nodes.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "kernels/cpu/low_rank.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/products.h"

namespace guildhall {
namespace {

// "AMD EPYC 9655", or "unknown CPU".
std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

// Hands out aligned regions of one buffer; first without memory, to learn the sum.
class Regions {
 public:
  explicit Regions(std::byte* base) : base_(base) {}

  template <typename T>
  T* Take(size_t bytes) {
    T* region = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + taken_);
    taken_ += (bytes + 63) / 64 * 64;
    return region;
  }
  size_t taken() const { return taken_; }

 private:
  std::byte* base_;
  size_t taken_ = 0;
};

void Divide(Regions& regions, int threads, Scratch& scratch) {
  const StepLimits& limits = scratch.limits;
  const auto rows = static_cast<size_t>(limits.max_rows);
  const auto entries = static_cast<size_t>(std::max(limits.max_entries, limits.max_rows));
  const int64_t width = std::max({limits.max_width, limits.hidden, limits.max_ffn_width});
  scratch.input_bytes = rows * (RowBytes(RowFormat::kBF16, width) + RowBytes(RowFormat::kInt8, width));
  scratch.hidden_bytes = entries * HiddenRowBytes(limits.max_ffn_width);
  const size_t worker =
      std::max({WorkerScratchBytes(limits), HeadScratchBytes(limits), ShrinkScratchBytes(limits)});
  // Two workers never write to one line, nor to neighbours that a prefetch would bring along.
  scratch.worker_bytes = (worker + 255) / 256 * 256;
  scratch.input = regions.Take<std::byte>(scratch.input_bytes);
  scratch.hidden = regions.Take<std::byte>(scratch.hidden_bytes);
  scratch.entry_out = regions.Take<float>(entries * static_cast<size_t>(limits.hidden) * sizeof(float));
  scratch.active = regions.Take<int32_t>(entries * sizeof(int32_t));
  scratch.logits = regions.Take<float>(rows * static_cast<size_t>(limits.max_experts) * sizeof(float));
  scratch.worker = regions.Take<std::byte>(scratch.worker_bytes * static_cast<size_t>(threads));
}

}  // namespace

CpuBackend::CpuBackend(Isa isa, int threads, bool pin, size_t page_bytes)
    : memory_(page_bytes), pool_(threads, pin), context_{pool_, MicroKernelsOf(isa), isa, scratch_} {}

std::string CpuBackend::Describe() const {
  const int nodes = MemoryNodes();
  const bool bf16 = RowFormatOf(context_.kernels, WeightFormat::kBF16) == RowFormat::kBF16;
  return StrCat("cpu ", IsaName(context_.isa), bf16 ? "-bf16" : "", ", ", pool_.threads(),
                pool_.threads() == 1 ? " thread" : " threads", pool_.placement().empty() ? "" : " ",
                pool_.placement(), nodes > 1 ? StrCat(", memory over ", nodes, " nodes") : "", " (",
                CpuModel(), ")");
}

std::string CpuBackend::layout() const {
  return StrCat("cpu/", IsaName(context_.isa));
}

absl::Status CpuBackend::Prepare(const StepLimits& limits) {
  Scratch scratch;
  scratch.limits = limits;
  scratch.limits.max_entries = std::max(limits.max_entries, limits.max_rows);
  Regions sizes(nullptr);
  Divide(sizes, pool_.threads(), scratch);
  scratch_ = Scratch();  // the old memory goes before the new is asked for
  GH_ASSIGN_OR_RETURN(scratch.memory, Buffer::Allocate(sizes.taken(), "scratch memory of a step"));
  Regions regions(scratch.memory.data());
  Divide(regions, pool_.threads(), scratch);
  scratch_ = std::move(scratch);
  return absl::OkStatus();
}

size_t CpuBackend::PackedBytes(const PackShape& shape) const {
  switch (shape.kind) {
    case PackShape::Kind::kStack:
      return PackedMatrixBytes(shape.format, shape.out, shape.in);
    case PackShape::Kind::kGateUp:
      return PackedGateUpMatrixBytes(shape.format, shape.out / 2, shape.in);
    case PackShape::Kind::kLowRankB:
      return PackedLowRankBytes(shape);
  }
  return 0;
}

void CpuBackend::Pack(const PackShape& shape, std::span<const TensorView> parts, std::byte* to) const {
  switch (shape.kind) {
    case PackShape::Kind::kStack:
      return PackStack(parts, shape, context_.kernels, to);
    case PackShape::Kind::kGateUp:
      GH_CHECK_EQ(parts.size(), size_t{2});
      return PackGateUp(parts[0], parts[1], shape, context_.kernels, to);
    case PackShape::Kind::kLowRankB:
      GH_CHECK_EQ(parts.size(), size_t{1});
      return PackLowRank(parts[0], shape, to);
  }
}

int64_t CpuBackend::LowRankColumns(int64_t rank) const {
  return PaddedRank(rank);
}

size_t CpuBackend::KvBlockBytes(const KvShape& shape) const {
  return CpuKvBlockBytes(shape);
}

void CpuBackend::Embed(const EmbedArgs& args) {
  EmbedOp(args, context_);
}
void CpuBackend::RmsNorm(const RmsNormArgs& args) {
  RmsNormOp(args, context_);
}
void CpuBackend::MatMul(const MatMulArgs& args) {
  MatMulOp(args, context_);
}
void CpuBackend::HeadMatMul(const HeadMatMulArgs& args) {
  HeadMatMulOp(args, context_);
}
void CpuBackend::Rope(const RopeArgs& args) {
  RopeOp(args, context_);
}
void CpuBackend::AppendKv(const AppendKvArgs& args) {
  AppendKvOp(args, context_);
}
void CpuBackend::Attention(const AttentionArgs& args) {
  AttentionOp(args, context_);
}
void CpuBackend::Route(const RouteArgs& args) {
  RouteOp(args, context_);
}
void CpuBackend::ExpertFfn(const ExpertFfnArgs& args) {
  ExpertFfnOp(args, context_);
}
void CpuBackend::Ffn(const FfnArgs& args) {
  FfnOp(args, context_);
}
void CpuBackend::GatherRows(const GatherRowsArgs& args) {
  GatherRowsOp(args, context_);
}

absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const CpuOptions& options, size_t page_bytes) {
  GH_ASSIGN_OR_RETURN(const Isa isa, ChooseIsa(options.isa));
  if (options.threads < 0 || options.threads > 4096) {
    return absl::InvalidArgumentError(
        StrCat("threads: expected 0 (the allowed CPUs) to 4096, found ", options.threads));
  }
  const int threads = options.threads == 0 ? AllowedCpus() : options.threads;
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(isa, threads, options.pin, page_bytes));
}

}  // namespace guildhall
