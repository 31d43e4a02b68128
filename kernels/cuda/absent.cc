// The CUDA back end of a build without CUDA.
#include "kernels/cuda/cuda_backend.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int, size_t) {
  return absl::FailedPreconditionError(
      "device \"cuda\": this program was built without CUDA; use \"cpu\", or a build with CUDA");
}

}  // namespace guildhall
