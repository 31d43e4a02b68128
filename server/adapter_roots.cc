#include "server/adapter_roots.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

constexpr size_t kMaxPathBytes = 4096;
constexpr int kMaxEntries = 100'000;  // of an adapter's folder

// Without links; nothing where the path leads nowhere.
std::optional<std::string> RealPath(const std::string& path) {
  char* const found = realpath(path.c_str(), nullptr);
  if (found == nullptr) return std::nullopt;
  std::string result(found);
  std::free(found);
  return result;
}

bool Within(std::string_view path, std::string_view root) {
  if (root == "/") return path.substr(0, 1) == "/";
  return path.substr(0, root.size()) == root && (path.size() == root.size() || path[root.size()] == '/');
}

absl::Status CheckForm(const std::string& path) {
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(StrCat(
        "expected a path relative to the server's adapter roots, without empty parts, \".\" and \"..\"; ",
        "found ", Quote(path), ", ", why));
  };
  if (path.empty()) return refuse("which is empty");
  if (path.size() > kMaxPathBytes) {
    return refuse(StrCat("which has ", path.size(), " bytes, more than ", kMaxPathBytes));
  }
  if (path.find('\0') != std::string::npos) return refuse("which holds a NUL");
  if (path.front() == '/') return refuse("which is absolute");
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = std::string_view(path).substr(begin, end - begin);
    if (part.empty()) return refuse("which has an empty part");
    if (part == "." || part == "..") return refuse(StrCat("which has the part \"", part, "\""));
    begin = end + 1;
  }
  return absl::OkStatus();
}

// The same words for what is absent and what is forbidden.
absl::Status NotThere(std::string_view path) {
  return WithResource(absl::NotFoundError(StrCat("there is nothing at ", Quote(path),
                                                 " below the server's adapter roots that it may read")),
                      "adapter path", path);
}

// Where an open descriptor leads now.
std::optional<std::string> PathOf(int fd) {
  char path[PATH_MAX];
  const ssize_t length = readlink(StrCat("/proc/self/fd/", fd).c_str(), path, sizeof(path));
  if (length <= 0 || length == static_cast<ssize_t>(sizeof(path))) return std::nullopt;
  return std::string(path, static_cast<size_t>(length));
}

bool SameFile(int fd, const std::string& path) {
  struct stat open {
  }, named{};
  return fstat(fd, &open) == 0 && lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

// The first entry of the folder that leads out of the root; links that lead nowhere are the reader's
// business.
std::optional<std::string> EntryOutside(int folder, const std::string& path, const std::string& root) {
  const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return std::strerror(errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(fd), closedir);
  if (entries == nullptr) {
    close(fd);
    return "it cannot be listed";
  }
  int count = 0;
  while (const dirent* const entry = readdir(entries.get())) {
    if (++count > kMaxEntries) return StrCat("it has more than ", kMaxEntries, " entries");
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    const auto target = RealPath(StrCat(path, "/", entry->d_name));
    if (target && !Within(*target, root)) return StrCat(entry->d_name, " leads to ", *target);
  }
  return std::nullopt;
}

}  // namespace

RootedPath& RootedPath::operator=(RootedPath&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(root_, other.root_);
  std::swap(path_, other.path_);
  std::swap(shown_, other.shown_);
  return *this;
}

RootedPath::~RootedPath() {
  if (fd_ >= 0) close(fd_);
}

absl::Status RootedPath::CheckStill() const {
  struct stat info {};
  const auto now = PathOf(fd_);
  if (fstat(fd_, &info) != 0 || !now || *now != path_ || !Within(*now, root_) || !SameFile(fd_, path_)) {
    Log().warn("adapter path {}: it was moved or replaced while it was opened", path_);
    return NotThere(shown_);
  }
  if (!S_ISDIR(info.st_mode)) return absl::OkStatus();
  if (const auto entry = EntryOutside(fd_, path_, root_)) {
    Log().warn("adapter path {}: refused, {}; the root is {}", path_, *entry, root_);
    return NotThere(shown_);
  }
  return absl::OkStatus();
}

absl::StatusOr<AdapterRoots> AdapterRoots::Open(const std::vector<std::string>& directories) {
  AdapterRoots roots;
  for (const std::string& directory : directories) {
    const auto real = RealPath(directory);
    struct stat info {};
    if (!real || stat(real->c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      return absl::InvalidArgumentError(
          StrCat("adapters.roots: expected directories, found ", Quote(directory),
                 real ? ", which is none" : StrCat(": ", std::strerror(errno))));
    }
    roots.roots_.push_back(*real);
    roots.given_.push_back(directory);
  }
  return roots;
}

absl::StatusOr<RootedPath> AdapterRoots::Folder(const std::string& path) const {
  return Find(path, true);
}

absl::StatusOr<RootedPath> AdapterRoots::File(const std::string& path) const {
  return Find(path, false);
}

absl::StatusOr<RootedPath> AdapterRoots::Find(const std::string& path, bool folder) const {
  GH_RETURN_IF_ERROR(CheckForm(path));
  if (roots_.empty()) {
    return absl::FailedPreconditionError(
        "no adapter can be loaded: the server's configuration has no adapters.roots");
  }
  for (const std::string& root : roots_) {
    const auto real = RealPath(StrCat(root, "/", path));
    if (!real) continue;
    if (!Within(*real, root)) {
      Log().warn("adapter path {}: refused, it leads to {}, out of {}", Quote(path), *real, root);
      continue;
    }
    RootedPath found;
    found.fd_ = open(real->c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC | (folder ? O_DIRECTORY : 0));
    struct stat info {};
    if (found.fd_ < 0 || fstat(found.fd_, &info) != 0 || !(folder || S_ISREG(info.st_mode))) {
      Log().warn("adapter path {}: {} is no {}", Quote(path), *real, folder ? "directory" : "regular file");
      continue;
    }
    found.root_ = root;
    found.path_ = *real;
    found.shown_ = path;
    GH_RETURN_IF_ERROR(found.CheckStill());
    return found;
  }
  return NotThere(path);
}

std::string AdapterRoots::Hide(std::string text) const {
  for (const auto* list : {&roots_, &given_}) {
    for (const std::string& root : *list) {
      const std::string prefix = root.back() == '/' ? root : root + "/";
      if (prefix == "/") continue;
      for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at)) {
        text.erase(at, prefix.size());
      }
    }
  }
  return text;
}

}  // namespace guildhall
