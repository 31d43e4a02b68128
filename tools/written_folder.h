// A folder that is written beside its place under a name of its own and takes its name once it is whole.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "absl/status/status.h"

namespace guildhall {

// OUT.writing-PID, locked while its writer lives. Goes with this object unless it was kept.
class WrittenFolder {
 public:
  explicit WrittenFolder(const std::filesystem::path& out);
  WrittenFolder(const WrittenFolder&) = delete;
  WrittenFolder& operator=(const WrittenFolder&) = delete;
  ~WrittenFolder();

  // Removes first what writers of the same OUT have left that were killed.
  absl::Status Create();
  const std::filesystem::path& path() const { return path_; }

  absl::Status WriteText(const std::string& name, const std::string& text) const;
  // A regular file of at most `most` bytes, to `name` below the folder; a link's target. A larger one is
  // FAILED_PRECONDITION, a full disk RESOURCE_EXHAUSTED.
  absl::Status CopyFile(const std::filesystem::path& from, const std::string& name, size_t most) const;

  // Takes the name, for good also over a power failure. What is there under it is exchanged for the new
  // folder in one step, and removed; where the file system cannot exchange, it is removed first.
  absl::Status TakeName();

 private:
  void RemoveLeftovers() const;

  const std::filesystem::path out_;
  std::filesystem::path path_;
  int lock_ = -1;
};

// "PATH: cannot WHAT: why": RESOURCE_EXHAUSTED where a disk or a quota is full, else FAILED_PRECONDITION.
absl::Status FileError(const std::filesystem::path& path, std::string_view what,
                       const std::error_code& error);

}  // namespace guildhall
