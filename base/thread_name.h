// Names for people who look at a process.
#pragma once

namespace guildhall {

// Of the calling thread, at most 15 characters: in top, in debuggers, in what a hanging shutdown says.
void NameThread(const char* name);

}  // namespace guildhall
