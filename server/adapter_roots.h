// Where adapters may come from: a client names a path, and only what lies below a configured root is opened.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

// A folder or file below a root, and the root. Holds the folder open, so that a swap of its name shows.
class RootedPath {
 public:
  RootedPath() = default;
  RootedPath(RootedPath&& other) noexcept { *this = std::move(other); }
  RootedPath& operator=(RootedPath&& other) noexcept;
  RootedPath(const RootedPath&) = delete;
  RootedPath& operator=(const RootedPath&) = delete;
  ~RootedPath();

  // Without links, absolute: for opening, not for messages to clients.
  const std::string& path() const { return path_; }

  // The name still leads to what was resolved, and every entry of a folder lies below the root: asked once
  // more when the entries have been opened. NOT_FOUND as of AdapterRoots.
  absl::Status CheckStill() const;

 private:
  friend class AdapterRoots;
  int fd_ = -1;  // O_PATH: no permission to read is needed, and nothing of a device or FIFO is touched
  std::string root_, path_, shown_;
};

// Immutable; thread-safe.
class AdapterRoots {
 public:
  AdapterRoots() = default;

  // INVALID_ARGUMENT naming a root that is no directory.
  static absl::StatusOr<AdapterRoots> Open(const std::vector<std::string>& directories);

  // The folder (or the regular file) that `path` means below the first root that has it. Links may lead
  // anywhere below the same root. INVALID_ARGUMENT: an absolute path, empty parts, "." or "..", a NUL, more
  // than 4096 bytes. FAILED_PRECONDITION: there are no roots. NOT_FOUND: absent or forbidden, in the same
  // words; the log says which.
  absl::StatusOr<RootedPath> Folder(const std::string& path) const;
  absl::StatusOr<RootedPath> File(const std::string& path) const;

  // `text` without the roots' own paths: what a client may read.
  std::string Hide(std::string text) const;

 private:
  absl::StatusOr<RootedPath> Find(const std::string& path, bool folder) const;

  std::vector<std::string> roots_;  // without links, absolute
  std::vector<std::string> given_;  // as configured
};

}  // namespace guildhall
