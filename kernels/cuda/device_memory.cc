#include "kernels/cuda/device_memory.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/buffer.h"
#include "base/check.h"
#include "base/format_bytes.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall::cuda {
namespace {

// Larger twins (a vocabulary's matrix) are made in plain memory and go through pinned memory in pieces.
constexpr size_t kLargestPinnedTwin = size_t{128} << 20;
constexpr size_t kStagingBytes = size_t{8} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<CudaDeviceMemory>> CudaDeviceMemory::Make(const Device& device,
                                                                         cudaStream_t steps,
                                                                         size_t page_bytes) {
  std::unique_ptr<CudaDeviceMemory> memory(new CudaDeviceMemory(device, steps));
  GH_ASSIGN_OR_RETURN(memory->copies_, device.MakeStream(/*urgent=*/false));
  GH_ASSIGN_OR_RETURN(memory->pages_, MakeCudaPageMemory(device, steps, page_bytes));
  return memory;
}

absl::StatusOr<DeviceBuffer> CudaDeviceMemory::Allocate(size_t bytes, std::string_view what) {
  GH_RETURN_IF_ERROR(device_.MakeCurrent());
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, std::max<size_t>(bytes, 1));
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    const absl::StatusOr<AvailableMemory> available = Available();
    return absl::ResourceExhaustedError(
        StrCat(what, ": ", FormatBytes(bytes), " of device memory are needed and ",
               available.ok() ? FormatBytes(available->bytes) : std::string("less"), " are free on ",
               device_.name(), " (cuda:", device_.index(), ")"));
  }
  GH_RETURN_IF_ERROR(StatusOf(error, what));
  return DeviceBuffer(static_cast<std::byte*>(memory), bytes,
                      std::shared_ptr<void>(memory, [](void* place) { (void)cudaFree(place); }));
}

absl::StatusOr<HostTwin> CudaDeviceMemory::MakeTwin(std::byte* home, size_t bytes) {
  if (bytes > kLargestPinnedTwin) {
    GH_ASSIGN_OR_RETURN(Buffer plain, Buffer::Allocate(bytes, "host memory for an upload"));
    std::byte* const data = plain.data();
    return HostTwin(home, data, bytes, std::make_shared<Buffer>(std::move(plain)));
  }
  GH_ASSIGN_OR_RETURN(std::byte* const data, pinned_.Take(bytes));
  return HostTwin(home, data, bytes, std::shared_ptr<void>(data, [this](void* place) {
                    pinned_.Give(static_cast<std::byte*>(place));
                  }));
}

// The host waits for the copy alone: the twin is free again, and what is enqueued from now on comes later.
absl::Status CudaDeviceMemory::CopyUp(std::byte* to, const std::byte* from, size_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(const Event done, device_.MakeEvent());
  cudaError_t error = cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, copies_.get());
  if (error == cudaSuccess) error = cudaEventRecord(done.get(), copies_.get());
  if (error == cudaSuccess) error = cudaEventSynchronize(done.get());
  return StatusOf(error, "a copy to the device");
}

absl::Status CudaDeviceMemory::CopyInPieces(std::byte* to, const std::byte* from, size_t bytes) {
  GH_ASSIGN_OR_RETURN(const HostTwin staging, MakeTwin(to, std::min(bytes, kStagingBytes)));
  for (size_t at = 0; at < bytes; at += kStagingBytes) {
    const size_t piece = std::min(bytes - at, kStagingBytes);
    std::memcpy(staging.data(), from + at, piece);
    GH_RETURN_IF_ERROR(CopyUp(to + at, staging.data(), piece));
  }
  return absl::OkStatus();
}

absl::Status CudaDeviceMemory::Upload(const HostTwin& twin) {
  if (twin.size() > kLargestPinnedTwin) return CopyInPieces(twin.home(), twin.data(), twin.size());
  return CopyUp(twin.home(), twin.data(), twin.size());
}

// For the thread that steps: it may not queue behind a load's uploads, and nothing else is on that stream.
absl::Status CudaDeviceMemory::Download(const HostTwin& twin, size_t bytes) {
  GH_CHECK_LE(bytes, twin.size());
  if (bytes == 0) return absl::OkStatus();
  cudaError_t error = cudaMemcpyAsync(twin.data(), twin.home(), bytes, cudaMemcpyDeviceToHost, steps_);
  if (error == cudaSuccess) error = cudaStreamSynchronize(steps_);
  return StatusOf(error, "a copy from the device");
}

absl::StatusOr<DeviceBuffer> CudaDeviceMemory::Bring(std::span<const std::byte> bytes,
                                                     std::shared_ptr<const void>, std::string_view what) {
  GH_ASSIGN_OR_RETURN(DeviceBuffer buffer, Allocate(bytes.size(), what));
  GH_RETURN_IF_ERROR(CopyInPieces(buffer.data(), bytes.data(), bytes.size()));
  return buffer;
}

absl::StatusOr<AvailableMemory> CudaDeviceMemory::Available() const {
  GH_RETURN_IF_ERROR(device_.MakeCurrent());
  size_t free = 0, total = 0;
  GH_RETURN_IF_ERROR(StatusOf(cudaMemGetInfo(&free, &total), "asking for free memory"));
  return AvailableMemory{free, StrCat("free on ", device_.name(), " (cuda:", device_.index(), ")")};
}

}  // namespace guildhall::cuda
