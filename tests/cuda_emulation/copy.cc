#include "tests/cuda_emulation/copy.h"

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

// Whether addresses are of the sides that a copy's kind says.
bool Agrees(cudaMemcpyKind kind, bool to_device, bool from_device) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

// Planned failures of copies; true: this one does not happen.
bool Fails(Machine& machine) {
  const Faults::Fault fault = machine.faults.CountExecuted("copy");
  if (fault.error != 0) machine.faults.Remember(fault.error, fault.sticky);
  return fault.error != 0;
}

}  // namespace

std::byte* InsideOrReport(DeviceState& device, const void* begin, size_t bytes, const char* what) {
  std::byte* const inside = device.range.Inside(begin, bytes);
  if (inside == nullptr) {
    Report(StrCat(what, " of ", bytes, " bytes touches ", device.range.Describe(begin), " at ",
                  AddressText(begin)));
  }
  return inside;
}

cudaError_t Copy::Enqueue(Machine& machine, cudaStream_t stream, bool* waits) const {
  DeviceState* const owner = machine.DeviceOf(stream);
  if (owner == nullptr) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return cudaSuccess;
  DeviceState* const target = machine.DeviceOf(to);
  DeviceState* const source = machine.DeviceOf(from);
  if (!Agrees(kind, target != nullptr, source != nullptr)) return cudaErrorInvalidValue;
  *waits = target == nullptr && !machine.pinned.Contains(to, bytes);
  std::shared_ptr<std::vector<std::byte>> staged;
  if (source == nullptr && !machine.pinned.Contains(from, bytes)) {
    const auto* const begin = static_cast<const std::byte*>(from);
    staged = std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
  }
  owner->queues.Push(
      stream, {.run = [&machine, copy = *this, target, source, staged] {
        if (Fails(machine)) return;
        const auto* const begin = source != nullptr ? InsideOrReport(*source, copy.from, copy.bytes, "a copy")
                                  : staged != nullptr ? staged->data()
                                                      : static_cast<const std::byte*>(copy.from);
        void* const goal =
            target != nullptr ? InsideOrReport(*target, copy.to, copy.bytes, "a copy") : copy.to;
        std::memcpy(goal, begin, copy.bytes);
        machine.Count([&](Counts& counts) {
          if (target != nullptr && source == nullptr) ++counts.uploads, counts.uploaded_bytes += copy.bytes;
          if (target == nullptr && source != nullptr)
            ++counts.downloads, counts.downloaded_bytes += copy.bytes;
        });
      }});
  return cudaSuccess;
}

}  // namespace guildhall::emulation
