// The version of the program, as the build states it.
#pragma once

namespace guildhall {

// "0.1.0"
const char* Version();

}  // namespace guildhall
