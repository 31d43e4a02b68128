#include "kernels/cuda/page_memory.h"

#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/align.h"
#include "base/check.h"
#include "base/format_bytes.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "kernels/cuda/driver.h"

namespace guildhall::cuda {
namespace {

// Pages that were given back and wait to be mapped again: creating one takes the driver's locks.
constexpr size_t kMostSpare = 16;

// Whoever unmaps has seen to it that no later step reads there: what was enqueued so far is all.
void AwaitSteps(const Device& device, cudaStream_t steps) {
  const absl::StatusOr<Event> event = device.MakeEvent();
  if (!event.ok() || cudaEventRecord(event->get(), steps) != cudaSuccess) {
    (void)cudaStreamSynchronize(steps);
    return;
  }
  (void)cudaEventSynchronize(event->get());
}

absl::Status Refused(const absl::Status& status, const char* what, size_t bytes) {
  return absl::ResourceExhaustedError(
      StrCat("pages: cannot ", what, " ", FormatBytes(bytes), " of device memory: ", status.message()));
}

CUdeviceptr AddressOf(const std::byte* place) {
  return static_cast<CUdeviceptr>(reinterpret_cast<uintptr_t>(place));
}

class MappedPages final : public PageMemory {
 public:
  MappedPages(const Driver& driver, const Device& device, cudaStream_t steps, size_t page_bytes)
      : driver_(driver), device_(device), steps_(steps), page_bytes_(page_bytes) {
    where_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    where_.location = {CU_MEM_LOCATION_TYPE_DEVICE, {device.index()}};
  }
  ~MappedPages() override {
    GH_CHECK(mapped_.empty());
    for (const CUmemGenericAllocationHandle handle : spare_) (void)driver_.release(handle);
  }

  absl::Status RoundPageBytes() {
    size_t unit = 0;
    GH_RETURN_IF_ERROR(
        StatusOf(driver_, driver_.allocation_granularity(&unit, &where_, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
                 "asking for the size of pages"));
    page_bytes_ = AlignUp(page_bytes_, unit);
    return absl::OkStatus();
  }

  size_t page_bytes() const override { return page_bytes_; }

  absl::StatusOr<std::byte*> Reserve(size_t bytes) override {
    GH_CHECK_EQ(bytes % page_bytes_, size_t{0});
    GH_RETURN_IF_ERROR(device_.MakeCurrent());
    CUdeviceptr begin = 0;
    const absl::Status reserved =
        StatusOf(driver_, driver_.address_reserve(&begin, bytes, 0, 0, 0), "reserving addresses");
    if (!reserved.ok()) return Refused(reserved, "reserve addresses for", bytes);
    return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(begin));
  }

  void Unreserve(std::byte* begin, size_t bytes) override {
    (void)driver_.address_free(AddressOf(begin), bytes);
  }

  absl::Status Map(std::byte* begin, size_t bytes) override {
    GH_RETURN_IF_ERROR(device_.MakeCurrent());
    std::lock_guard lock(mutex_);
    absl::Status status;
    size_t done = 0;
    for (; done < bytes && status.ok(); done += status.ok() ? page_bytes_ : 0) {
      status = MapPage(begin + done);
    }
    CUmemAccessDesc access = {};
    access.location = where_.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    if (status.ok()) {
      status = StatusOf(driver_, driver_.set_access(AddressOf(begin), bytes, &access, 1), "opening pages");
    }
    if (status.ok()) return status;
    UnmapPages(begin, done);
    return Refused(status, "map", bytes);
  }

  void Unmap(std::byte* begin, size_t bytes) override {
    (void)device_.MakeCurrent();
    AwaitSteps(device_, steps_);
    std::lock_guard lock(mutex_);
    UnmapPages(begin, bytes);
  }

 private:
  absl::Status MapPage(std::byte* page) {
    CUmemGenericAllocationHandle handle = 0;
    if (spare_.empty()) {
      GH_RETURN_IF_ERROR(
          StatusOf(driver_, driver_.create(&handle, page_bytes_, &where_, 0), "taking a page"));
    } else {
      handle = spare_.back();
      spare_.pop_back();
    }
    absl::Status mapped =
        StatusOf(driver_, driver_.map(AddressOf(page), page_bytes_, 0, handle, 0), "mapping a page");
    if (mapped.ok()) {
      mapped_.emplace(page, handle);
    } else {
      Keep(handle);
    }
    return mapped;
  }

  // Where the device is lost the driver refuses all of it: the process's end frees the pages.
  void UnmapPages(std::byte* begin, size_t bytes) {
    if (bytes > 0) (void)driver_.unmap(AddressOf(begin), bytes);
    for (size_t at = 0; at < bytes; at += page_bytes_) {
      const auto page = mapped_.find(begin + at);
      GH_CHECK(page != mapped_.end());
      Keep(page->second);
      mapped_.erase(page);
    }
  }

  void Keep(CUmemGenericAllocationHandle handle) {
    if (spare_.size() < kMostSpare) {
      spare_.push_back(handle);
    } else {
      (void)driver_.release(handle);
    }
  }

  const Driver driver_;
  const Device& device_;
  const cudaStream_t steps_;
  size_t page_bytes_;
  CUmemAllocationProp where_ = {};
  std::mutex mutex_;
  std::map<std::byte*, CUmemGenericAllocationHandle> mapped_;
  std::vector<CUmemGenericAllocationHandle> spare_;
};

// Without the driver's virtual memory: all of a range is there from the beginning.
class WholeRanges final : public PageMemory {
 public:
  WholeRanges(const Device& device, cudaStream_t steps, size_t page_bytes)
      : device_(device), steps_(steps), page_bytes_(page_bytes) {}

  size_t page_bytes() const override { return page_bytes_; }

  absl::StatusOr<std::byte*> Reserve(size_t bytes) override {
    GH_RETURN_IF_ERROR(device_.MakeCurrent());
    void* begin = nullptr;
    const absl::Status allocated = StatusOf(cudaMalloc(&begin, bytes), "taking a whole range");
    if (!allocated.ok()) return Refused(allocated, "reserve", bytes);
    return static_cast<std::byte*>(begin);
  }

  void Unreserve(std::byte* begin, size_t) override { (void)cudaFree(begin); }

  absl::Status Map(std::byte*, size_t) override { return absl::OkStatus(); }

  // What comes next may write there.
  void Unmap(std::byte*, size_t) override { AwaitSteps(device_, steps_); }

 private:
  const Device& device_;
  const cudaStream_t steps_;
  const size_t page_bytes_;
};

bool HasVirtualMemory(const Driver& driver, int index) {
  CUdevice device = 0;
  int there = 0;
  return driver.device_get(&device, index) == CUDA_SUCCESS &&
         driver.device_get_attribute(&there, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                                     device) == CUDA_SUCCESS &&
         there != 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PageMemory>> MakeCudaPageMemory(const Device& device, cudaStream_t steps,
                                                               size_t page_bytes) {
  GH_CHECK_GT(page_bytes, size_t{0});
  const absl::StatusOr<Driver> driver = FindDriver();
  if (!driver.ok() || !HasVirtualMemory(*driver, device.index())) {
    return std::unique_ptr<PageMemory>(std::make_unique<WholeRanges>(device, steps, page_bytes));
  }
  auto pages = std::make_unique<MappedPages>(*driver, device, steps, page_bytes);
  GH_RETURN_IF_ERROR(pages->RoundPageBytes());
  return std::unique_ptr<PageMemory>(std::move(pages));
}

}  // namespace guildhall::cuda
