// Where the files that tests read lie.
#pragma once

#include <string>

namespace guildhall {

// The repository's root: the one that the tests were built from, or what GUILDHALL_TEST_SOURCE names, for
// programs that were brought to another machine.
std::string SourceFolder();

}  // namespace guildhall
