// The CUDA back end of a build without CUDA.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/no_cuda_device.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int, const CudaOptions&) {
  return NoCudaDevice(
      "device \"cuda\": this program was built without CUDA; use \"cpu\", or a build with CUDA");
}

}  // namespace guildhall
