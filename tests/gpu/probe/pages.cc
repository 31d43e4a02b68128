// What the driver's calls for mapped memory cost. They are made on a thread beside the steps, so
// microseconds count.
#include <cuda.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/driver.h"
#include "tests/gpu/probe/fact.h"
#include "tests/gpu/probe/questions.h"

namespace guildhall::probe {
namespace {

constexpr size_t kPages = 64;

class PageCosts {
 public:
  explicit PageCosts(const cuda::Driver& driver) : driver_(driver) {
    place_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    place_.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
    access_ = {place_.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    Must(driver_.allocation_granularity(&unit_, &place_, CU_MEM_ALLOC_GRANULARITY_MINIMUM), "granularity");
  }

  void Measure() {
    Fact("size of a page, at least", static_cast<double>(unit_), "B");
    CUdeviceptr begin = 0;
    Fact("reserve 64 GiB of addresses", Microseconds([&] {
           Must(driver_.address_reserve(&begin, size_t{64} << 30, unit_, 0, 0), "reserve");
         }),
         "us");
    pages_.resize(kPages);
    Each("create a page", [&](size_t i) { Must(driver_.create(&pages_[i], unit_, &place_, 0), "create"); });
    Each("map a page",
         [&](size_t i) { Must(driver_.map(begin + i * unit_, unit_, 0, pages_[i], 0), "map"); });
    Each("set access of a page",
         [&](size_t i) { Must(driver_.set_access(begin + i * unit_, unit_, &access_, 1), "access"); });
    Each("unmap a page", [&](size_t i) { Must(driver_.unmap(begin + i * unit_, unit_), "unmap"); });
    for (size_t i = 0; i < kPages; ++i) {
      Must(driver_.map(begin + i * unit_, unit_, 0, pages_[i], 0), "map");
    }
    Fact("set access of 64 pages at once",
         Microseconds([&] { Must(driver_.set_access(begin, kPages * unit_, &access_, 1), "access"); }), "us");
    Fact("unmap 64 pages at once", Microseconds([&] { Must(driver_.unmap(begin, kPages * unit_), "unmap"); }),
         "us");
    Each("release a page", [&](size_t i) { Must(driver_.release(pages_[i]), "release"); });
    Must(driver_.address_free(begin, size_t{64} << 30), "free");
  }

 private:
  static double Microseconds(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
  }

  void Must(CUresult result, const char* doing) const {
    const absl::Status status = StatusOf(driver_, result, doing);
    if (!status.ok()) throw std::runtime_error(std::string(status.message()));
  }

  void Each(const char* name, const std::function<void(size_t)>& work) const {
    const double all = Microseconds([&] {
      for (size_t i = 0; i < kPages; ++i) work(i);
    });
    Fact(name, all / kPages, "us");
  }

  const cuda::Driver& driver_;
  CUmemAllocationProp place_ = {};
  CUmemAccessDesc access_ = {};
  size_t unit_ = 0;
  std::vector<CUmemGenericAllocationHandle> pages_;
};

}  // namespace

void AskPages() {
  const auto driver = cuda::FindDriver();
  if (!driver.ok()) throw std::runtime_error(std::string(driver.status().message()));
  PageCosts(*driver).Measure();
}

}  // namespace guildhall::probe
