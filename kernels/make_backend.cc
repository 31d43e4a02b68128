#include "kernels/make_backend.h"

#include "base/str_cat.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options) {
  if (options.device == "cpu") return MakeCpuBackend(options.cpu, options.page_bytes);
  if (options.device == "cuda") return MakeCudaBackend(options.page_bytes);
  return absl::InvalidArgumentError(
      StrCat("device: expected \"cpu\" or \"cuda\", found \"", options.device, "\""));
}

}  // namespace guildhall
