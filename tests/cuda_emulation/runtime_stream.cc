// The runtime's calls about streams and events.
#include <utility>

#include "tests/cuda_emulation/machine.h"

using guildhall::emulation::Call;
using guildhall::emulation::CallThatWaits;
using guildhall::emulation::DeviceState;
using guildhall::emulation::Machine;
using guildhall::emulation::Mark;
using guildhall::emulation::Queues;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return Call("cudaStreamCreateWithPriority", [&](Machine& machine) {
    *stream = machine.Current().queues.Create((flags & cudaStreamNonBlocking) == 0, priority);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return CallThatWaits("cudaStreamDestroy", [&](Machine& machine) {
    DeviceState* const device = machine.DeviceOf(stream);
    const bool destroyed = device != nullptr && device->queues.Destroy(stream);
    return destroyed ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return CallThatWaits("cudaStreamSynchronize", [&](Machine& machine) {
    DeviceState* const device = machine.DeviceOf(stream);
    if (device == nullptr) return cudaErrorInvalidResourceHandle;
    device->queues.Drain(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return CallThatWaits("cudaStreamQuery", [&](Machine& machine) {
    DeviceState* const device = machine.DeviceOf(stream);
    if (device == nullptr) return cudaErrorInvalidResourceHandle;
    return device->queues.Step(stream) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return Call("cudaStreamWaitEvent", [&](Machine& machine) {
    DeviceState* const device = machine.DeviceOf(stream);
    if (device == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    if (const auto mark = event->Last()) device->queues.Push(stream, {.awaits = mark});
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return Call("cudaEventCreateWithFlags", [&](Machine&) {
    *event = new CUevent_st((flags & cudaEventDisableTiming) == 0);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return Call("cudaEventDestroy", [&](Machine&) {
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return Call("cudaEventRecord", [&](Machine& machine) {
    DeviceState* const device = machine.DeviceOf(stream);
    if (device == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    event->SetLast(device->queues.Record(stream));
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return CallThatWaits("cudaEventSynchronize", [&](Machine&) {
    if (const auto mark = event->Last()) Queues::DrainTo(*mark);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return CallThatWaits("cudaEventQuery", [&](Machine&) {
    const auto mark = event->Last();
    return mark == nullptr || Queues::Step(*mark) ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return Call("cudaEventElapsedTime", [&](Machine&) {
    const auto first = begin->Last(), last = end->Last();
    if (!begin->timed || !end->timed || first == nullptr || last == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!first->reached || !last->reached) return cudaErrorNotReady;
    *milliseconds = static_cast<float>(last->nanoseconds - first->nanoseconds) * 1e-6f;
    return cudaSuccess;
  });
}
