// The runtime's objects as owners, each destroyed once.
#pragma once

#include <cuda_runtime.h>

#include <utility>

namespace guildhall::cuda {

// Move-only. Null: none.
template <typename T, cudaError_t (*Destroy)(T)>
class CudaHandle {
 public:
  CudaHandle() = default;
  explicit CudaHandle(T handle) : handle_(handle) {}
  ~CudaHandle() {
    // What cannot be destroyed belongs to a device that is lost: the process's end frees it.
    if (handle_ != nullptr) (void)Destroy(handle_);
  }
  CudaHandle(CudaHandle&& other) noexcept { *this = std::move(other); }
  CudaHandle& operator=(CudaHandle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  T get() const { return handle_; }

 private:
  T handle_ = nullptr;
};

using Stream = CudaHandle<cudaStream_t, &cudaStreamDestroy>;
using Event = CudaHandle<cudaEvent_t, &cudaEventDestroy>;

}  // namespace guildhall::cuda
