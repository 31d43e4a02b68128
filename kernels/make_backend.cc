#include "kernels/make_backend.h"

#include <string>

#include "base/log.h"
#include "base/status.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/device_name.h"
#include "kernels/no_cuda_device.h"

namespace guildhall {
namespace {

using Made = absl::StatusOr<std::unique_ptr<Backend>>;

Made Fitting(Made backend, const FitsFunction& fits) {
  if (backend.ok() && fits) GH_RETURN_IF_ERROR(fits(**backend));
  return backend;
}

Made MakeCpu(const BackendOptions& options, const FitsFunction& fits) {
  if (options.products == DeviceProducts::kLibrary) {
    return absl::InvalidArgumentError(
        "device_products: expected \"exact\" on device \"cpu\", found \"library\": only a CUDA device has a "
        "library of products");
  }
  return Fitting(MakeCpuBackend(options.cpu, options.page_bytes), fits);
}

Made MakeCuda(const BackendOptions& options, int index, const FitsFunction& fits) {
  const CudaOptions cuda{
      .page_bytes = options.page_bytes, .products = options.products, .library = options.library};
  return Fitting(MakeCudaBackend(index, cuda), fits);
}

// A machine or a build without a device is nothing to speak of. A device that has no room is; one that could
// not be used at all is to be mended.
spdlog::level::level_enum LevelOf(const absl::Status& refusal) {
  if (IsNoCudaDevice(refusal)) return spdlog::level::debug;
  return absl::IsResourceExhausted(refusal) ? spdlog::level::info : spdlog::level::warn;
}

Made MakeAny(const BackendOptions& options, const FitsFunction& fits) {
  Made cuda = MakeCuda(options, 0, fits);
  // The CPU has no library's products.
  if (cuda.ok() || options.products == DeviceProducts::kLibrary) return cuda;
  Log().log(LevelOf(cuda.status()), "device: auto takes the CPU: {}", std::string(cuda.status().message()));
  return MakeCpu(options, fits);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const FitsFunction& fits) {
  GH_ASSIGN_OR_RETURN(const DeviceName device, ParseDeviceName(options.device));
  switch (device.kind) {
    case DeviceName::Kind::kAuto:
      return MakeAny(options, fits);
    case DeviceName::Kind::kCpu:
      return MakeCpu(options, fits);
    case DeviceName::Kind::kCuda:
      return MakeCuda(options, device.index, fits);
  }
  return absl::InternalError("device: no such kind");
}

}  // namespace guildhall
