#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/arena.h"
#include "base/status.h"
#include "base/steady_clock.h"
#include "base/str_cat.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/failure.h"
#include "kernels/cuda/kv_layout.h"
#include "kernels/cuda/library_products.h"
#include "kernels/cuda/observed_op.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/packing.h"
#include "kernels/cuda/step.h"
#include "kernels/op_observer.h"

namespace guildhall {
namespace cuda {
namespace {

Scratch Divide(const StepLimits& limits, Arena& arena) {
  const int64_t entries = std::max(limits.max_entries, limits.max_rows);
  Scratch scratch;
  scratch.scores = arena.Take<float>(limits.max_rows * limits.max_experts);
  scratch.hidden = arena.Take<float>(entries * limits.max_ffn_width);
  scratch.entry_out = arena.Take<float>(entries * limits.hidden);
  scratch.rows = arena.Take<int32_t>(2 * (entries + 1));
  scratch.arrived = arena.Take<int32_t>(1);
  return scratch;
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(Device device, Stream stream) : device_(std::move(device)), stream_(std::move(stream)) {
    context_.stream = stream_.get();
    context_.multiprocessors = device_.multiprocessors();
    context_.allowances = &allowances_;
  }
  ~CudaBackend() override { (void)cudaStreamSynchronize(stream_.get()); }

  absl::Status Init(const CudaOptions& options) {
    if (options.products == DeviceProducts::kLibrary) {
      GH_RETURN_IF_ERROR(device_.MakeCurrent());
      GH_ASSIGN_OR_RETURN(library_, LibraryProducts::Make(options.library));
    }
    GH_ASSIGN_OR_RETURN(memory_, CudaDeviceMemory::Make(device_, stream_.get(), options.page_bytes));
    GH_ASSIGN_OR_RETURN(op_begins_, device_.MakeEvent(/*timed=*/true));
    GH_ASSIGN_OR_RETURN(op_ends_, device_.MakeEvent(/*timed=*/true));
    step_ = std::make_unique<CudaStep>(*memory_, stream_.get());
    return absl::OkStatus();
  }

  std::string Describe() const override {
    if (library_ == nullptr) return device_.Describe();
    return StrCat(device_.Describe(), ", products of ", library_->Describe(), " (no isolation to the bit)");
  }
  int lanes() const override { return 1; }
  void Observe(OpObserver* observer) override { observer_ = observer; }

  size_t ScratchBytes(const StepLimits& limits) const override {
    Arena sizes;
    Divide(limits, sizes);
    return sizes.bytes() + (library_ == nullptr ? 0 : library_->ScratchBytes());
  }
  absl::Status Prepare(const StepLimits& limits) override {
    context_.scratch = {};
    scratch_ = DeviceBuffer();  // the old memory goes before the new is asked for
    GH_ASSIGN_OR_RETURN(scratch_, memory_->Allocate(ScratchBytes(limits), "scratch memory of a step"));
    std::byte* place = scratch_.data();
    if (library_ != nullptr) {
      library_->UseScratch(place);
      place += library_->ScratchBytes();
    }
    Arena arena(place);
    context_.scratch = Divide(limits, arena);
    int32_t* arrived = context_.scratch.arrived;
    return StatusOf(cudaMemsetAsync(arrived, 0, sizeof(*arrived), stream_.get()), "clearing scratch memory");
  }

  DeviceMemory& memory() override { return *memory_; }

  std::string layout() const override { return "cuda/tile64"; }
  size_t PackedBytes(const PackShape& shape) const override { return PackedBytesOf(shape); }
  absl::Status PackFrom(const PackShape& shape, const PackParts& parts, std::byte* to) const override {
    return PackWeights(shape, parts, to);
  }
  int64_t LowRankColumns(int64_t rank) const override { return rank; }
  size_t KvBlockBytes(const KvShape& shape) const override { return CudaKvBlockBytes(shape); }

  const StepData& BeginStep(const StepInputs& inputs) override {
    failure_.Remember(device_.MakeCurrent());
    failure_.Remember(step_->Begin(inputs));
    return step_->data();
  }
#define GH_FORWARD(Name, name)                 \
  void Name(const Name##Args& args) override { \
    Run(OpKind::k##Name, &Name##Op, args);     \
  }
  GH_FOR_EACH_OP(GH_FORWARD)
#undef GH_FORWARD

  absl::Status Finish() override {
    failure_.Remember("a step's end", cudaStreamSynchronize(stream_.get()));
    return failure_.Take(stream_.get());
  }

 private:
  // Enqueues nothing once something has failed: what an op would read may not be there.
  template <typename Args>
  void Run(OpKind kind, cudaError_t (*op)(const Args&, const Context&), const Args& args) {
    if (failure_.any()) return;
    if (observer_ != nullptr) return RunObserved(kind, op, args);
    Enqueue(kind, op, args);
  }

  template <typename Args>
  void Enqueue(OpKind kind, cudaError_t (*op)(const Args&, const Context&), const Args& args) {
    if constexpr (requires { library_->Takes(args); }) {
      if (library_ != nullptr && library_->Takes(args)) {
        return failure_.Remember(OpName(kind), library_->Run(args, context_, *memory_));
      }
    }
    failure_.Remember(OpName(kind), op(args, context_));
  }

  template <typename Args>
  void RunObserved(OpKind kind, cudaError_t (*op)(const Args&, const Context&), const Args& args) {
    observer_->OpBegins(kind, WeightsOf(args));
    float ms = 0.0f;
    failure_.Remember(OpName(kind), cudaEventRecord(op_begins_.get(), stream_.get()));
    Enqueue(kind, op, args);
    const auto timed = [&]() -> cudaError_t {
      cudaError_t error = cudaEventRecord(op_ends_.get(), stream_.get());
      if (error == cudaSuccess) error = cudaEventSynchronize(op_ends_.get());
      if (error == cudaSuccess) error = cudaEventElapsedTime(&ms, op_begins_.get(), op_ends_.get());
      return error;
    };
    if (!failure_.any()) failure_.Remember(OpName(kind), timed());
    const int64_t end = SteadyNs(), begin = end - static_cast<int64_t>(static_cast<double>(ms) * 1e6);
    const OpCost cost = failure_.any() ? OpCost() : CostOnHost(args, step_->host_data(), *memory_);
    // The device is one lane that is busy all the time.
    observer_->ItemDone(0, begin, end);
    observer_->LoopDone(begin, end);
    observer_->OpEnds(cost, begin, end);
  }

  const Device device_;
  const Stream stream_;
  std::unique_ptr<CudaDeviceMemory> memory_;
  std::unique_ptr<CudaStep> step_;
  std::unique_ptr<LibraryProducts> library_;  // null: all products are exact
  DeviceBuffer scratch_;
  SharedAllowances allowances_;
  Context context_;
  Failure failure_;
  OpObserver* observer_ = nullptr;
  Event op_begins_, op_ends_;  // of the observed op
};

}  // namespace
}  // namespace cuda

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int index, const CudaOptions& options) {
  GH_ASSIGN_OR_RETURN(cuda::Device device, cuda::Device::Open(index));
  GH_ASSIGN_OR_RETURN(cuda::Stream stream, device.MakeStream(/*urgent=*/true));
  auto backend = std::make_unique<cuda::CudaBackend>(std::move(device), std::move(stream));
  GH_RETURN_IF_ERROR(backend->Init(options));
  return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace guildhall
