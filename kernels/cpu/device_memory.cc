#include "kernels/cpu/device_memory.h"

#include <string>
#include <utility>

#include "base/buffer.h"
#include "base/status.h"
#include "kernels/cpu/available_memory.h"

namespace guildhall {

absl::StatusOr<DeviceBuffer> CpuDeviceMemory::Allocate(size_t bytes, std::string_view what) {
  GH_ASSIGN_OR_RETURN(Buffer buffer, Buffer::Allocate(bytes, std::string(what).c_str()));
  std::byte* const data = buffer.data();
  return DeviceBuffer(data, bytes, std::make_shared<Buffer>(std::move(buffer)));
}

absl::StatusOr<HostTwin> CpuDeviceMemory::MakeTwin(std::byte* home, size_t bytes) {
  return HostTwin(home, home, bytes, nullptr);
}

absl::Status CpuDeviceMemory::Upload(const HostTwin&) {
  return absl::OkStatus();
}

absl::Status CpuDeviceMemory::Download(const HostTwin&, size_t) {
  return absl::OkStatus();
}

absl::StatusOr<DeviceBuffer> CpuDeviceMemory::Bring(std::span<const std::byte> bytes,
                                                    std::shared_ptr<const void> owner, std::string_view) {
  // Ops read weights and never write them.
  return DeviceBuffer(const_cast<std::byte*>(bytes.data()), bytes.size(),
                      std::const_pointer_cast<void>(std::move(owner)));
}

absl::StatusOr<AvailableMemory> CpuDeviceMemory::Available() const {
  return ReadAvailableMemory();
}

}  // namespace guildhall
