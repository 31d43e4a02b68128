#include "tools/written_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

std::error_code LastError() {
  return {errno, std::generic_category()};
}

int OpenFolder(const fs::path& path) {
  return open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

absl::Status SyncFolder(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError(path, "be made durable", LastError());
  const bool synced = fsync(fd) == 0 || errno == EINVAL;  // a file system that needs none
  const std::error_code error = LastError();
  close(fd);
  return synced ? absl::OkStatus() : FileError(path, "be made durable", error);
}

absl::Status WriteFile(const fs::path& path, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return FileError(path, "create", LastError());
  int error = 0;
  while (!text.empty() && error == 0) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      error = written < 0 ? errno : EIO;
    }
  }
  if (error == 0 && fsync(fd) != 0) error = errno;
  close(fd);
  return error == 0 ? absl::OkStatus() : FileError(path, "write", {error, std::generic_category()});
}

// A writer that lives holds the lock: its number may be another process's by now, or of another container.
bool IsAbandoned(const fs::path& folder) {
  const int fd = OpenFolder(folder);
  if (fd < 0) return false;
  const bool abandoned = flock(fd, LOCK_EX | LOCK_NB) == 0;
  close(fd);
  return abandoned;
}

}  // namespace

absl::Status FileError(const fs::path& path, std::string_view what, const std::error_code& error) {
  const std::string text = StrCat(path.string(), ": cannot ", what, ": ", error.message());
  const bool full =
      error == std::errc::no_space_on_device || error == std::errc::file_too_large || error.value() == EDQUOT;
  return full ? absl::ResourceExhaustedError(text) : absl::FailedPreconditionError(text);
}

WrittenFolder::WrittenFolder(const fs::path& out)
    : out_(out), path_(StrCat(out.string(), ".writing-", getpid())) {}

WrittenFolder::~WrittenFolder() {
  std::error_code ignored;
  if (lock_ >= 0) fs::remove_all(path_, ignored);
  if (lock_ >= 0) close(lock_);
}

void WrittenFolder::RemoveLeftovers() const {
  const std::string prefix = out_.filename().string() + ".writing-";
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(out_.parent_path(), error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    const bool ours = name.starts_with(prefix) && name.size() > prefix.size() &&
                      std::all_of(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()), name.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
    if (ours) found.push_back(at->path());
  }
  for (const fs::path& folder : found) {
    if (IsAbandoned(folder)) fs::remove_all(folder, error);
  }
}

absl::Status WrittenFolder::Create() {
  RemoveLeftovers();
  std::error_code error;
  if (!fs::create_directory(path_, error) || error) {
    return FileError(path_, "create", error ? error : make_error_code(std::errc::file_exists));
  }
  lock_ = OpenFolder(path_);
  if (lock_ < 0 || flock(lock_, LOCK_EX | LOCK_NB) != 0) return FileError(path_, "lock", LastError());
  return absl::OkStatus();
}

absl::Status WrittenFolder::WriteText(const std::string& name, const std::string& text) const {
  return WriteFile(path_ / name, text);
}

absl::Status WrittenFolder::CopyFile(const fs::path& from, const std::string& name, size_t most) const {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(from.string(), most));
  return WriteFile(path_ / name, text);
}

absl::Status WrittenFolder::TakeName() {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path_)) {
    if (entry.is_directory()) GH_RETURN_IF_ERROR(SyncFolder(entry.path()));
  }
  GH_RETURN_IF_ERROR(SyncFolder(path_));
  const bool replaces = access(out_.c_str(), F_OK) == 0;
  const unsigned how = replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE;
  std::error_code refused, ignored;
  if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, out_.c_str(), how) != 0) refused = LastError();
  if (!refused && replaces) fs::remove_all(path_, ignored);
  // Not every file system can exchange; there, what is replaced goes first.
  if (refused == std::errc::invalid_argument) {
    if (replaces) fs::remove_all(out_, ignored);
    refused = rename(path_.c_str(), out_.c_str()) == 0 ? std::error_code() : LastError();
  }
  if (refused) return FileError(out_, "give the new folder its name", refused);
  close(std::exchange(lock_, -1));
  return SyncFolder(out_.parent_path());
}

}  // namespace guildhall
