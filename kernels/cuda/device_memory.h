// Device memory of a CUDA device: buffers, twins in pinned host memory, copies on a stream of their own.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

#include "kernels/cuda/device.h"
#include "kernels/cuda/page_memory.h"
#include "kernels/cuda/pinned_arena.h"
#include "kernels/device_memory.h"

namespace guildhall::cuda {

// Owned by the back end, which outlives buffers and twins.
class CudaDeviceMemory final : public DeviceMemory {
 public:
  // `steps`: the stream that ops run on; outlives this.
  static absl::StatusOr<std::unique_ptr<CudaDeviceMemory>> Make(const Device& device, cudaStream_t steps,
                                                                size_t page_bytes);

  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, std::string_view what) override;
  absl::StatusOr<HostTwin> MakeTwin(std::byte* home, size_t bytes) override;
  absl::Status Upload(const HostTwin& twin) override;
  absl::Status Download(const HostTwin& twin, size_t bytes) override;
  absl::StatusOr<DeviceBuffer> Bring(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                     std::string_view what) override;
  PageMemory& pages() override { return *pages_; }
  absl::StatusOr<AvailableMemory> Available() const override;

 private:
  CudaDeviceMemory(const Device& device, cudaStream_t steps)
      : device_(device), steps_(steps), pinned_(device) {}

  absl::Status CopyUp(std::byte* to, const std::byte* from, size_t bytes);
  // Bytes of pageable host memory, through pinned memory.
  absl::Status CopyInPieces(std::byte* to, const std::byte* from, size_t bytes);

  const Device& device_;
  const cudaStream_t steps_;
  PinnedArena pinned_;
  Stream copies_;
  std::unique_ptr<PageMemory> pages_;
};

}  // namespace guildhall::cuda
