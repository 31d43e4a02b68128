// The runtime's errors, with the numbers that it gives them.
#pragma once

// X(name behind "cudaError", number, what cudaGetErrorString says)
#define GH_FOR_EACH_CUDA_ERROR(X)                                                                    \
  X(InvalidValue, 1, "invalid argument")                                                             \
  X(MemoryAllocation, 2, "out of memory")                                                            \
  X(InitializationError, 3, "initialization error")                                                  \
  X(InvalidConfiguration, 9, "invalid configuration argument")                                       \
  X(InvalidHostPointer, 16, "invalid host pointer")                                                  \
  X(InvalidDevicePointer, 17, "invalid device pointer")                                              \
  X(InvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                                 \
  X(InsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version")          \
  X(DevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable")                     \
  X(InvalidDeviceFunction, 98, "invalid device function")                                            \
  X(NoDevice, 100, "no CUDA-capable device is detected")                                             \
  X(InvalidDevice, 101, "invalid device ordinal")                                                    \
  X(InvalidKernelImage, 200, "device kernel image is invalid")                                       \
  X(DeviceUninitialized, 201, "invalid device context")                                              \
  X(MapBufferObjectFailed, 205, "mapping of buffer object failed")                                   \
  X(AlreadyMapped, 208, "resource already mapped")                                                   \
  X(NoKernelImageForDevice, 209, "no kernel image is available for execution on the device")         \
  X(NotMapped, 211, "resource not mapped")                                                           \
  X(ECCUncorrectable, 214, "uncorrectable ECC error encountered")                                    \
  X(UnsupportedPtxVersion, 222, "the provided PTX was compiled with an unsupported toolchain.")      \
  X(OperatingSystem, 304, "OS call failed or operation not supported on this OS")                    \
  X(InvalidResourceHandle, 400, "invalid resource handle")                                           \
  X(SymbolNotFound, 500, "named symbol not found")                                                   \
  X(NotReady, 600, "device not ready")                                                               \
  X(IllegalAddress, 700, "an illegal memory access was encountered")                                 \
  X(LaunchOutOfResources, 701, "too many resources requested for launch")                            \
  X(LaunchTimeout, 702, "the launch timed out and was terminated")                                   \
  X(ContextIsDestroyed, 709, "context is destroyed")                                                 \
  X(Assert, 710, "device-side assert triggered")                                                     \
  X(HostMemoryAlreadyRegistered, 712, "part or all of the requested memory range is already mapped") \
  X(IllegalInstruction, 715, "an illegal instruction was encountered")                               \
  X(MisalignedAddress, 716, "misaligned address")                                                    \
  X(LaunchFailure, 719, "unspecified launch failure")                                                \
  X(NotPermitted, 800, "operation not permitted")                                                    \
  X(NotSupported, 801, "operation not supported")                                                    \
  X(SystemDriverMismatch, 803, "system has unsupported display driver / cuda driver combination")    \
  X(Unknown, 999, "unknown error")

enum cudaError {
  cudaSuccess = 0,
#define GH_ERROR(name, number, text) cudaError##name = number,
  GH_FOR_EACH_CUDA_ERROR(GH_ERROR)
#undef GH_ERROR
};
using cudaError_t = cudaError;
