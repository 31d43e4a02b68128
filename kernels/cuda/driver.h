// The driver's functions that the runtime does not have, found at run time: nothing links libcuda.
#pragma once

#include <cuda.h>

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace guildhall::cuda {

// FN(field, name): a member of that name for the driver's function.
#define GH_FOR_EACH_DRIVER_FUNCTION(FN)                     \
  FN(error_name, cuGetErrorName)                            \
  FN(device_get, cuDeviceGet)                               \
  FN(device_get_attribute, cuDeviceGetAttribute)            \
  FN(allocation_granularity, cuMemGetAllocationGranularity) \
  FN(address_reserve, cuMemAddressReserve)                  \
  FN(address_free, cuMemAddressFree)                        \
  FN(create, cuMemCreate)                                   \
  FN(release, cuMemRelease)                                 \
  FN(map, cuMemMap)                                         \
  FN(unmap, cuMemUnmap)                                     \
  FN(set_access, cuMemSetAccess)

struct Driver {
#define GH_MEMBER(field, name) decltype(&name) field = nullptr;
  GH_FOR_EACH_DRIVER_FUNCTION(GH_MEMBER)
#undef GH_MEMBER
};

// UNIMPLEMENTED names the first function that this driver lacks.
absl::StatusOr<Driver> FindDriver();

// As StatusOf of the runtime's errors.
absl::Status StatusOf(const Driver& driver, CUresult result, std::string_view doing);

}  // namespace guildhall::cuda
