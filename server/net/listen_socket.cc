#include "server/net/listen_socket.h"

#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr int kBacklog = 1024;

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::Status CannotListen(const ListenOptions& options, int error) {
  if (error == EADDRINUSE) {
    return absl::FailedPreconditionError(StrCat(options.key, ": port ", options.address.port,
                                                " is in use by another process; choose another port"));
  }
  return absl::FailedPreconditionError(
      StrCat(options.key, ": cannot listen on ", options.address.Text(), ": ", std::strerror(error)));
}

void SetOn(int fd, int level, int option, int value = 1) {
  setsockopt(fd, level, option, &value, sizeof(value));
}

// Without SO_REUSEPORT: a second server would start silently and take half of the connections.
int ListenAt(const addrinfo& at, const ListenOptions& options, FileDescriptor& listening) {
  FileDescriptor fd(socket(at.ai_family, at.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at.ai_protocol));
  if (!fd.valid()) return errno;
  SetOn(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  // What is accepted inherits these.
  SetOn(fd.get(), IPPROTO_TCP, TCP_NODELAY);
  SetOn(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout_ms);
  if (at.ai_family == AF_INET6) {
    const auto& address = reinterpret_cast<const sockaddr_in6&>(*at.ai_addr);
    SetOn(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, IN6_IS_ADDR_UNSPECIFIED(&address.sin6_addr) ? 0 : 1);
  }
  if (bind(fd.get(), at.ai_addr, at.ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0) return errno;
  listening = std::move(fd);
  return 0;
}

int PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

void SetPort(addrinfo& at, int port) {
  const in_port_t value = htons(static_cast<uint16_t>(port));
  if (at.ai_family == AF_INET6) reinterpret_cast<sockaddr_in6&>(*at.ai_addr).sin6_port = value;
  if (at.ai_family == AF_INET) reinterpret_cast<sockaddr_in&>(*at.ai_addr).sin_port = value;
}

absl::StatusOr<Addresses> Resolve(const ListenOptions& options, const std::string& host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  const int code = getaddrinfo(host.c_str(), std::to_string(options.address.port).c_str(), &hints, &found);
  if (code == 0) return Addresses(found, &freeaddrinfo);
  return absl::InvalidArgumentError(
      StrCat(options.key, ": cannot resolve ", options.address.host, ": ", gai_strerror(code)));
}

// Every address that the host has here: localhost may name one of a family that this machine lacks. `error`:
// the system's word for a failure, where it has one.
absl::StatusOr<ListenSockets> ListenOnHost(const ListenOptions& options, const std::string& host,
                                           int& error) {
  GH_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(options, host));
  ListenSockets result;
  error = EADDRNOTAVAIL;
  for (addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    if (result.port != 0) SetPort(*at, result.port);
    FileDescriptor fd;
    if (const int code = ListenAt(*at, options, fd); code != 0) {
      error = code;
      if (code == EADDRINUSE) return CannotListen(options, code);
      continue;
    }
    result.port = PortOf(fd.get());
    result.sockets.push_back(std::move(fd));
  }
  if (result.sockets.empty()) return CannotListen(options, error);
  return result;
}

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

// A file that a dead server left is taken over, a socket that somebody listens on is not.
absl::Status ClearPath(const ListenOptions& options) {
  const std::string& path = options.address.unix_path;
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        StrCat(options.key, ": ", path, " exists and is no socket; choose another path"));
  }
  const FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = UnixAddress(path);
  // Any other failure, a full queue or another user's rights, is of a socket that lives.
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno != ECONNREFUSED) {
    return absl::FailedPreconditionError(
        StrCat(options.key, ": the socket ", path, " is in use by another process; choose another path"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

absl::Status SetOwner(const ListenOptions& options) {
  const char* path = options.address.unix_path.c_str();
  if (!options.socket_group.empty()) {
    const group* found = getgrnam(options.socket_group.c_str());
    if (found == nullptr) {
      return absl::InvalidArgumentError(
          StrCat("server.socket_group: there is no group \"", options.socket_group, "\""));
    }
    if (chown(path, static_cast<uid_t>(-1), found->gr_gid) != 0) {
      return absl::FailedPreconditionError(StrCat("server.socket_group: cannot give ", path, " to the group ",
                                                  options.socket_group, ": ", std::strerror(errno)));
    }
  }
  if (chmod(path, static_cast<mode_t>(options.socket_mode)) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(options.key, ": cannot set the mode of ", path, ": ", std::strerror(errno)));
}

absl::StatusOr<ListenSockets> ListenOnPath(const ListenOptions& options) {
  GH_RETURN_IF_ERROR(ClearPath(options));
  const std::string& path = options.address.unix_path;
  const sockaddr_un address = UnixAddress(path);
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::FailedPreconditionError(StrCat(options.key, ": cannot create the socket ", path, " (",
                                                std::strerror(errno),
                                                "); does its folder exist, and may this user write there?"));
  }
  // Before anybody can connect.
  if (absl::Status owned = SetOwner(options); !owned.ok()) {
    unlink(path.c_str());
    return owned;
  }
  if (listen(fd.get(), kBacklog) != 0) return CannotListen(options, errno);
  ListenSockets result;
  result.sockets.push_back(std::move(fd));
  return result;
}

}  // namespace

absl::StatusOr<ListenSockets> Listen(const ListenOptions& options) {
  if (options.address.unix_socket()) return ListenOnPath(options);
  const std::string& host = options.address.host;
  int error = 0;
  if (host != "0.0.0.0") return ListenOnHost(options, host, error);
  // Both families, or the old one where the machine has no other.
  auto both = ListenOnHost(options, "::", error);
  if (both.ok() || error == EADDRINUSE) return both;
  return ListenOnHost(options, host, error);
}

}  // namespace guildhall
