#include "tools/pending_folder.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/str_cat.h"

namespace guildhall {

PendingFolder::~PendingFolder() {
  std::error_code ignored;
  if (made_) std::filesystem::remove_all(path_, ignored);
}

absl::Status PendingFolder::Make() {
  std::error_code error;
  made_ = std::filesystem::create_directory(path_, error);
  if (made_) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      path_, ": cannot create the folder: ", error ? error.message() : "it is there already: remove it"));
}

absl::Status PendingFolder::Write(const std::string& name, const Json& json) const {
  std::ofstream file(path_ + "/" + name, std::ios::binary);
  file << DumpJson(json, 2) << "\n";
  file.close();
  if (file) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat(path_, "/", name, ": cannot write"));
}

absl::Status PendingFolder::Commit() {
  std::error_code error;
  std::filesystem::rename(path_, place_, error);
  if (error) {
    return absl::FailedPreconditionError(StrCat(place_, ": cannot move the folder there: ", error.message()));
  }
  made_ = false;
  return absl::OkStatus();
}

}  // namespace guildhall
