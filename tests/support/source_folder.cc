#include "tests/support/source_folder.h"

#include <cstdlib>

namespace guildhall {

std::string SourceFolder() {
  const char* named = std::getenv("GUILDHALL_TEST_SOURCE");
  return named == nullptr ? GUILDHALL_SOURCE_DIR : named;
}

}  // namespace guildhall
