#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <fstream>

#include "base/arena.h"
#include "base/check.h"
#include "base/memory_nodes.h"
#include "base/status.h"
#include "base/steady_clock.h"
#include "base/str_cat.h"
#include "kernels/cpu/low_rank.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/products.h"
#include "kernels/op_observer.h"

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

Scratch Divide(const StepLimits& limits, int threads, Arena& arena) {
  Scratch scratch;
  scratch.limits = limits;
  scratch.limits.max_entries = std::max(limits.max_entries, limits.max_rows);
  const auto rows = static_cast<size_t>(limits.max_rows);
  const auto entries = static_cast<size_t>(scratch.limits.max_entries);
  const int64_t width = std::max({limits.max_width, limits.hidden, limits.max_ffn_width});
  scratch.input_bytes = rows * (RowBytes(RowFormat::kBF16, width) + RowBytes(RowFormat::kInt8, width));
  scratch.hidden_bytes = entries * HiddenRowBytes(limits.max_ffn_width);
  const size_t worker =
      std::max({WorkerScratchBytes(limits), HeadScratchBytes(limits), ShrinkScratchBytes(limits)});
  // Two workers never write to one line, nor to neighbours that a prefetch would bring along.
  scratch.worker_bytes = AlignUp(worker, 256);
  scratch.input = arena.Take<std::byte>(static_cast<int64_t>(scratch.input_bytes));
  scratch.hidden = arena.Take<std::byte>(static_cast<int64_t>(scratch.hidden_bytes));
  scratch.entry_out = arena.Take<float>(scratch.limits.max_entries * limits.hidden);
  scratch.active = arena.Take<int32_t>(scratch.limits.max_entries);
  scratch.logits = arena.Take<float>(limits.max_rows * limits.max_experts);
  scratch.worker = arena.Take<std::byte>(static_cast<int64_t>(scratch.worker_bytes) * threads);
  return scratch;
}

// The matrix that an op multiplies by; null: none that has a name.
template <typename Args>
const std::byte* WeightsOf(const Args& args) {
  if constexpr (requires { args.w.first.data; }) return args.w.first.data;
  if constexpr (requires { args.w.data; }) return args.w.data;
  if constexpr (requires { args.w.gate_up.data; }) return args.w.gate_up.data;
  return nullptr;
}

template <typename Args>
void RunOp(OpKind kind, void (*op)(const Args&, CpuContext&), const Args& args, CpuContext& context,
           OpObserver* observer) {
  if (observer == nullptr) return op(args, context);
  observer->OpBegins(kind, WeightsOf(args));
  const int64_t begin = SteadyNs();
  op(args, context);
  const int64_t end = SteadyNs();
  observer->OpEnds(CostOf(args), begin, end);
}

}  // namespace

CpuBackend::CpuBackend(Isa isa, int threads, bool pin, size_t page_bytes)
    : memory_(page_bytes), pool_(threads, pin), context_{pool_, MicroKernelsOf(isa), isa, scratch_, step_} {}

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

void CpuBackend::Observe(OpObserver* observer) {
  observer_ = observer;
  pool_.Observe(observer);
}

size_t CpuBackend::ScratchBytes(const StepLimits& limits) const {
  Arena sizes;
  Divide(limits, pool_.threads(), sizes);
  return sizes.bytes();
}

absl::Status CpuBackend::Prepare(const StepLimits& limits) {
  scratch_ = Scratch();  // the old memory goes before the new is asked for
  GH_ASSIGN_OR_RETURN(DeviceBuffer memory,
                      memory_.Allocate(ScratchBytes(limits), "scratch memory of a step"));
  Arena arena(memory.data());
  scratch_ = Divide(limits, pool_.threads(), arena);
  scratch_.memory = std::move(memory);
  step_.Prepare(scratch_.limits);
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

absl::Status CpuBackend::PackFrom(const PackShape& shape, const PackParts& parts, std::byte* to) const {
  switch (shape.kind) {
    case PackShape::Kind::kStack:
    case PackShape::Kind::kGateUp:
      return PackMatrix(parts, shape, context_.kernels, to);
    case PackShape::Kind::kLowRankB:
      return PackLowRank(parts, shape, context_.isa, to);
  }
  return absl::OkStatus();
}

int64_t CpuBackend::LowRankColumns(int64_t rank) const {
  return PaddedRank(rank);
}

size_t CpuBackend::KvBlockBytes(const KvShape& shape) const {
  return CpuKvBlockBytes(shape);
}

#define GH_FORWARD(Name, name)                                    \
  void CpuBackend::Name(const Name##Args& args) {                 \
    RunOp(OpKind::k##Name, &Name##Op, args, context_, observer_); \
  }
GH_FOR_EACH_OP(GH_FORWARD)
#undef GH_FORWARD

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
