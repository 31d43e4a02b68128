#include "kernels/make_backend.h"

#include "base/status.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/device_name.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options) {
  GH_ASSIGN_OR_RETURN(const DeviceName device, ParseDeviceName(options.device));
  switch (device.kind) {
    case DeviceName::Kind::kAuto:
    case DeviceName::Kind::kCpu:
      return MakeCpuBackend(options.cpu, options.page_bytes);
    case DeviceName::Kind::kCuda:
      return MakeCudaBackend(device.index, options.page_bytes);
  }
  return absl::InternalError("device: no such kind");
}

}  // namespace guildhall
