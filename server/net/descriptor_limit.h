// How many descriptors the process may have.
#pragma once

#include <cstdint>
#include <string>

namespace guildhall {

// The soft limit (RLIMIT_NOFILE).
int64_t DescriptorLimit();

// Raises the soft limit to the hard one, as any process may, but not beyond a million. Returns what
// there is to say about it: "256 descriptors, raised from 64".
std::string RaiseDescriptorLimit();

}  // namespace guildhall
