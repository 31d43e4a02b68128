#include "kernels/cuda/device.h"

#include <fstream>

#include "base/format_bytes.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "kernels/no_cuda_device.h"

namespace guildhall::cuda {
namespace {

// The oldest that has bf16 products, 16-byte asynchronous copies and what the kernels are compiled for.
constexpr int kOldestMajor = 8;
constexpr const char* kNeeded = "a CUDA device of compute capability 8.0 or newer";

absl::Status CheckDriver(int driver, int runtime) {
  if (driver == 0) {
    return NoCudaDevice(StrCat("device \"cuda\": no NVIDIA driver was found, and CUDA ", VersionText(runtime),
                               " needs one; use device \"cpu\""));
  }
  if (driver < runtime) {
    return absl::FailedPreconditionError(StrCat("device \"cuda\": driver for CUDA ", VersionText(driver),
                                                ", this build needs ", VersionText(runtime),
                                                ": driver 580 or newer"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> CountDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaErrorNoDevice) GH_RETURN_IF_ERROR(StatusOf(error, "counting devices"));
  (void)cudaGetLastError();
  if (count > 0) return count;
  return NoCudaDevice(StrCat("device \"cuda\": the driver shows no device to this process, needed is ",
                             kNeeded, ": see CUDA_VISIBLE_DEVICES and what the container was given"));
}

// "580.159.03" of the loaded kernel module; else what CUDA version the driver is for.
std::string DriverText(int driver_version) {
  std::ifstream file("/sys/module/nvidia/version");
  if (std::string version; std::getline(file, version) && !version.empty()) return version;
  return StrCat("for CUDA ", VersionText(driver_version));
}

}  // namespace

std::string VersionText(int version) {
  return StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::Status StatusOf(cudaError_t error, std::string_view doing) {
  if (error == cudaSuccess) return absl::OkStatus();
  (void)cudaGetLastError();
  const std::string text =
      StrCat("cuda: ", doing, ": ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")");
  return error == cudaErrorMemoryAllocation ? absl::ResourceExhaustedError(text) : absl::InternalError(text);
}

absl::StatusOr<Device> Device::Open(int index) {
  Device device;
  GH_RETURN_IF_ERROR(StatusOf(cudaRuntimeGetVersion(&device.runtime_version_), "asking for the runtime"));
  GH_RETURN_IF_ERROR(StatusOf(cudaDriverGetVersion(&device.driver_version_), "asking for the driver"));
  GH_RETURN_IF_ERROR(CheckDriver(device.driver_version_, device.runtime_version_));
  GH_ASSIGN_OR_RETURN(const int count, CountDevices());
  if (index < 0 || index >= count) {
    return absl::FailedPreconditionError(StrCat("device \"cuda:", index, "\": this machine shows ", count,
                                                count == 1 ? " device" : " devices",
                                                ", so the last is cuda:", count - 1));
  }
  cudaDeviceProp properties = {};
  GH_RETURN_IF_ERROR(StatusOf(cudaGetDeviceProperties(&properties, index), "asking for the device"));
  if (properties.major < kOldestMajor) {
    return absl::FailedPreconditionError(StrCat("device \"cuda:", index, "\": ", properties.name,
                                                " has compute capability ", properties.major, ".",
                                                properties.minor, ", needed is ", kNeeded));
  }
  device.index_ = index;
  device.name_ = properties.name;
  device.total_bytes_ = properties.totalGlobalMem;
  device.multiprocessors_ = properties.multiProcessorCount;
  GH_RETURN_IF_ERROR(device.MakeCurrent());
  return device;
}

absl::Status Device::MakeCurrent() const {
  return StatusOf(cudaSetDevice(index_), "taking the device");
}

absl::StatusOr<Stream> Device::MakeStream(bool urgent) const {
  GH_RETURN_IF_ERROR(MakeCurrent());
  int least = 0, greatest = 0;
  GH_RETURN_IF_ERROR(StatusOf(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking for priorities"));
  cudaStream_t stream = nullptr;
  GH_RETURN_IF_ERROR(
      StatusOf(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, urgent ? greatest : least),
               "making a stream"));
  return Stream(stream);
}

absl::StatusOr<Event> Device::MakeEvent(bool timed) const {
  GH_RETURN_IF_ERROR(MakeCurrent());
  const unsigned flags = cudaEventBlockingSync | (timed ? 0u : unsigned{cudaEventDisableTiming});
  cudaEvent_t event = nullptr;
  GH_RETURN_IF_ERROR(StatusOf(cudaEventCreateWithFlags(&event, flags), "making an event"));
  return Event(event);
}

std::string Device::Describe() const {
  return StrCat("cuda ", VersionText(runtime_version_), ", ", name_, ", ", FormatBytes(total_bytes_),
                ", driver ", DriverText(driver_version_));
}

}  // namespace guildhall::cuda
