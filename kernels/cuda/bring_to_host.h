// What the host has to know of what ops have left on the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "kernels/device_memory.h"

namespace guildhall::cuda {

// `count` values, behind all that was enqueued; the host waits.
template <typename T>
absl::Status BringToHost(const T* home, int64_t count, DeviceMemory& memory, std::vector<T>& to) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  auto* const place = reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(home));
  GH_ASSIGN_OR_RETURN(const HostTwin twin, memory.MakeTwin(place, bytes));
  GH_RETURN_IF_ERROR(memory.Download(twin, bytes));
  const T* const values = twin.As<T>();
  to.assign(values, values + count);
  return absl::OkStatus();
}

}  // namespace guildhall::cuda
