#include "runtime/backend_choice.h"

#include <string>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "kernels/device_name.h"

namespace guildhall {
namespace {

absl::StatusOr<std::unique_ptr<Backend>> MakeFitting(BackendOptions options, const char* device,
                                                     const FitsFunction& fits) {
  if (device != nullptr) options.device = device;
  GH_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeBackend(options));
  GH_RETURN_IF_ERROR(fits(*backend));
  return backend;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> ChooseBackend(const BackendOptions& options,
                                                       const FitsFunction& fits) {
  GH_ASSIGN_OR_RETURN(const DeviceName device, ParseDeviceName(options.device));
  if (device.kind != DeviceName::Kind::kAuto) return MakeFitting(options, nullptr, fits);
  auto backend = MakeFitting(options, "cuda", fits);
  if (backend.ok()) return backend;
  // A machine or a build without a device is nothing to speak of; a device that is there and not used is.
  const bool absent = absl::IsFailedPrecondition(backend.status());
  Log().log(absent ? spdlog::level::debug : spdlog::level::info, "device: auto takes the CPU: {}",
            std::string(backend.status().message()));
  return MakeFitting(options, "cpu", fits);
}

}  // namespace guildhall
