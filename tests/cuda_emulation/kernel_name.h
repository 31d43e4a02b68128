// What a kernel is called in its source.
#pragma once

#include <string>

namespace guildhall::emulation {

// Without namespaces and parameters, with template arguments: "ProductKernel<float, 64>". From the symbols
// of this program; an address where it has none. Thread-safe.
std::string KernelName(const void* kernel);

}  // namespace guildhall::emulation
