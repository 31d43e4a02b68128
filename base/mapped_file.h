// A file mapped read-only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace guildhall {

// Regular files only: a FIFO, a device or a directory is refused before anything is read. An empty file maps
// to an empty span. Move-only.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    std::swap(modified_ns_, other.modified_ns_);
    std::swap(identity_, other.identity_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // NOT_FOUND, PERMISSION_DENIED or FAILED_PRECONDITION (an unfinished download as well), with the path.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  const std::string& path() const { return path_; }
  int descriptor() const { return fd_; }

  // Reads `destination.size()` bytes at `offset` by pread: a file that was cut short after mapping is a
  // DATA_LOSS error here where touching the mapping would be a SIGBUS.
  absl::Status ReadAt(size_t offset, std::span<std::byte> destination) const;

  // DATA_LOSS when the file was cut, grown or written to since Open. (A file that took its name is another
  // file: this one still holds the old bytes.)
  absl::Status CheckUnchanged() const;

  // Text that differs for another file and for this one once it was written to: device, inode, size and time
  // as of Open.
  const std::string& identity() const { return identity_; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
  int64_t modified_ns_ = 0;  // time of the last change as of Open
  std::string path_;
  std::string identity_;
};

// The whole of a small text file; refuses more than `max_bytes`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t max_bytes);

}  // namespace guildhall
