// Launches by cudaLaunchKernelEx alone: triple brackets are no C++.
#pragma once

#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "emulated/errors.h"
#include "emulated/runtime_api.h"
#include "emulated/vector_types.h"

struct cudaLaunchAttribute;

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;  // none are emulated
  unsigned numAttrs;
};

namespace guildhall::emulation {

// A kernel with the arguments of one launch, which it keeps by value until it runs.
class KernelCall {
 public:
  virtual ~KernelCall() = default;
  virtual void RunThread() const = 0;
};

template <typename... Parameters>
class KernelCallOf final : public KernelCall {
 public:
  template <typename... Arguments>
  explicit KernelCallOf(void (*kernel)(Parameters...), Arguments&&... arguments)
      : kernel_(kernel), arguments_(std::forward<Arguments>(arguments)...) {}
  void RunThread() const override { std::apply(kernel_, arguments_); }

 private:
  void (*kernel_)(Parameters...);
  std::tuple<Parameters...> arguments_;
};

cudaError_t Enqueue(const cudaLaunchConfig_t& config, const void* kernel, std::unique_ptr<KernelCall> call);

}  // namespace guildhall::emulation

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "kernels take plain data");
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "more than a launch can carry");
  auto call = std::make_unique<guildhall::emulation::KernelCallOf<Parameters...>>(
      kernel, std::forward<Arguments>(arguments)...);
  return guildhall::emulation::Enqueue(*config, reinterpret_cast<const void*>(kernel), std::move(call));
}
