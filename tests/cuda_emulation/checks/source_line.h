// Places in code, for messages.
#pragma once

#include <cstdint>
#include <string>

namespace guildhall::emulation {

// A return address as a distance from the program's begin, and back: half as many bytes to keep.
uint32_t PlaceOf(const void* pc);

// "product.cu:41" of the call before it; "program + 0x1234" where nothing can say it.
std::string SourceLine(uint32_t place);

}  // namespace guildhall::emulation
