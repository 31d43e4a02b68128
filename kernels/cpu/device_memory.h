// Device memory of the CPU: the host's own, so that twins are homes and nothing is copied.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/device_memory.h"

namespace guildhall {

// `page_bytes`: a multiple of 4 KiB; 2 MiB gets huge pages where the system gives them.
std::unique_ptr<PageMemory> MakeCpuPageMemory(size_t page_bytes = size_t{2} << 20);

class CpuDeviceMemory final : public DeviceMemory {
 public:
  explicit CpuDeviceMemory(size_t page_bytes) : pages_(MakeCpuPageMemory(page_bytes)) {}

  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, std::string_view what) override;
  absl::StatusOr<HostTwin> MakeTwin(std::byte* home, size_t bytes) override;
  absl::Status Upload(const HostTwin& twin) override;
  absl::Status Download(const HostTwin& twin, size_t bytes) override;
  absl::StatusOr<DeviceBuffer> Bring(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                     std::string_view what) override;
  PageMemory& pages() override { return *pages_; }
  absl::StatusOr<AvailableMemory> Available() const override;

 private:
  const std::unique_ptr<PageMemory> pages_;
};

}  // namespace guildhall
