#include "kernels/cuda/failure.h"

#include <utility>

#include "base/str_cat.h"

namespace guildhall::cuda {

void Failure::Remember(std::string_view where, cudaError_t error) {
  if (error == cudaSuccess || any()) return;
  first_ = absl::InternalError(
      StrCat("cuda: failed at ", where, ": ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")"));
}

void Failure::Remember(const absl::Status& status) {
  if (!any()) first_ = status;
}

void Failure::Remember(std::string_view where, const absl::Status& status) {
  if (status.ok() || any()) return;
  first_ = absl::InternalError(StrCat("cuda: failed at ", where, ": ", status.message()));
}

absl::Status Failure::Take(cudaStream_t stream) {
  if (!any() || lost_) return first_;
  // What can be forgotten is forgotten. An error that comes again then comes from now on at every call.
  (void)cudaGetLastError();
  lost_ = cudaStreamSynchronize(stream) != cudaSuccess;
  if (!lost_) return std::exchange(first_, absl::OkStatus());
  first_ = absl::UnavailableError(StrCat("the device is lost to this process: ", first_.message()));
  return first_;
}

}  // namespace guildhall::cuda
