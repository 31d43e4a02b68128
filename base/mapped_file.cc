#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/stand_in.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

absl::Status SystemError(const std::string& path, std::string_view verb, int error) {
  const std::string text = StrCat(path, ": cannot ", verb, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      if (const std::string unfinished = UnfinishedText(path); !unfinished.empty()) {
        return absl::FailedPreconditionError(StrCat(path, ": cannot ", verb, ": ", unfinished));
      }
      return absl::NotFoundError(text);
    case ENOTDIR:
      return absl::NotFoundError(text);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(text);
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::FailedPreconditionError(text);
  }
}

std::string_view KindName(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "not a regular file";
}

absl::Status CheckRegular(const std::string& path, const struct stat& info) {
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(path, ": expected a regular file, found ", KindName(info.st_mode)));
}

// Looks before it opens (a device may act on being opened),
// and again afterwards (the name may have been exchanged).
absl::StatusOr<int> OpenRegular(const std::string& path, struct stat& info) {
  if (path.find('\0') != std::string::npos)
    return absl::InvalidArgumentError("file name with a NUL character");
  if (stat(path.c_str(), &info) != 0) return SystemError(path, "open", errno);
  GH_RETURN_IF_ERROR(CheckRegular(path, info));
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) return SystemError(path, "open", errno);
  if (fstat(fd.get(), &info) != 0) return SystemError(path, "read", errno);
  GH_RETURN_IF_ERROR(CheckRegular(path, info));
  return fd.release();
}

int64_t ModifiedNs(const struct stat& info) {
  return static_cast<int64_t>(info.st_mtim.tv_sec) * 1000000000 + info.st_mtim.tv_nsec;
}

}  // namespace

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  MappedFile file;
  file.path_ = path;
  struct stat info;
  GH_ASSIGN_OR_RETURN(file.fd_, OpenRegular(path, info));
  file.modified_ns_ = ModifiedNs(info);
  file.identity_ = StrCat(info.st_dev, ":", info.st_ino, ":", info.st_size, ":", file.modified_ns_);
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return file;  // mmap refuses a length of 0
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd_, 0);
  if (data == MAP_FAILED) return SystemError(path, "map", errno);
  file.data_ = data;
  file.size_ = size;
  return file;
}

absl::Status MappedFile::ReadAt(size_t offset, std::span<std::byte> destination) const {
  GH_CHECK_LE(destination.size(), size_);
  GH_CHECK_LE(offset, size_ - destination.size());
  size_t done = 0;
  while (done < destination.size()) {
    const ssize_t got =
        pread(fd_, destination.data() + done, destination.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return absl::DataLossError(
          StrCat(path_, ": cannot read at byte ", offset + done, ": ", std::strerror(errno)));
    }
    if (got == 0) {
      return absl::DataLossError(StrCat(path_, ": expected ", size_,
                                        " bytes as when it was opened, now it ends at ", offset + done,
                                        ": the file was cut short while it was in use"));
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status MappedFile::CheckUnchanged() const {
  struct stat info;
  if (fstat(fd_, &info) != 0) return SystemError(path_, "read", errno);
  if (static_cast<size_t>(info.st_size) == size_ && ModifiedNs(info) == modified_ns_) return absl::OkStatus();
  return absl::DataLossError(StrCat(path_, ": the file was changed while it was in use (", size_,
                                    " bytes when it was opened, ", info.st_size,
                                    " now): load it again when the writer is done"));
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t max_bytes) {
  struct stat info;
  GH_ASSIGN_OR_RETURN(const int raw, OpenRegular(path, info));
  const Descriptor fd(raw);
  const auto too_large = [&] {
    return absl::FailedPreconditionError(StrCat(
        path, ": at most ", max_bytes, " bytes are read of this file, found more (", info.st_size, ")"));
  };
  if (static_cast<uint64_t>(info.st_size) > max_bytes) return too_large();
  std::string text;
  char chunk[16384];
  while (true) {
    const ssize_t got = read(fd.get(), chunk, sizeof(chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path, "read", errno);
    if (got == 0) return text;
    text.append(chunk, static_cast<size_t>(got));
    // Counted while reading: the size that a file states need not be its true one.
    if (text.size() > max_bytes) return too_large();
  }
}

}  // namespace guildhall
