#include "tests/support/temp_folder.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/check.h"

namespace guildhall {

TempFolder::TempFolder() {
  path_ = (std::filesystem::temp_directory_path() / "guildhall-XXXXXX").string();
  GH_CHECK(mkdtemp(path_.data()) != nullptr);
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace guildhall
