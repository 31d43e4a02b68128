// The driver's calls by name.
#pragma once

namespace guildhall::emulation {

// Null: not emulated.
void* DriverFunction(const char* symbol);

}  // namespace guildhall::emulation
