#include "kernels/cuda/driver.h"

#include <cuda_runtime.h>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall::cuda {
namespace {

// Since when all of them have been as they are declared here.
constexpr unsigned kInterfaceVersion = 12000;

template <typename Function>
absl::Status Find(const char* name, Function*& function) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &address, kInterfaceVersion, cudaEnableDefault, &found);
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess || address == nullptr) {
    (void)cudaGetLastError();
    return absl::UnimplementedError(StrCat("cuda: the driver has no ", name));
  }
  function = reinterpret_cast<Function*>(address);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Driver> FindDriver() {
  Driver driver;
#define GH_FIND(field, name) GH_RETURN_IF_ERROR(Find(#name, driver.field));
  GH_FOR_EACH_DRIVER_FUNCTION(GH_FIND)
#undef GH_FIND
  return driver;
}

absl::Status StatusOf(const Driver& driver, CUresult result, std::string_view doing) {
  if (result == CUDA_SUCCESS) return absl::OkStatus();
  const char* name = nullptr;
  if (driver.error_name(result, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
  const std::string text = StrCat("cuda: ", doing, ": ", name);
  return result == CUDA_ERROR_OUT_OF_MEMORY ? absl::ResourceExhaustedError(text) : absl::InternalError(text);
}

}  // namespace guildhall::cuda
