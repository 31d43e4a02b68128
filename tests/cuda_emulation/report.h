// How a run ends that no device would survive, or that would pass on a device by luck alone.
#pragma once

#include <string>

namespace guildhall::emulation {

// Writes "emulated device: MESSAGE" to the standard error and aborts. Within a kernel the message says which
// kernel, block and thread.
[[noreturn]] void Report(const std::string& message);

// "kernel Product, block (1, 0, 0), thread (3, 0, 0)", or "" outside of kernels.
std::string WhereInKernel();

std::string AddressText(const void* address);

// From here on, until another handler takes its place, an access to device memory that fails is reported.
void CatchFaults();

}  // namespace guildhall::emulation
