#include "config/listen_address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <charconv>

#include "base/str_cat.h"

namespace guildhall {

bool ListenAddress::local() const {
  if (unix_socket() || host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string ListenAddress::Text() const {
  if (unix_socket()) return StrCat("unix:", unix_path);
  const bool v6 = host.find(':') != std::string::npos;
  return StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text, std::string_view key) {
  const auto error = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        StrCat(key, ": expected HOST:PORT, [IPV6]:PORT or unix:PATH, found \"", text, "\" (", why, ")"));
  };
  ListenAddress address;
  if (text.substr(0, 5) == "unix:") {
    address.unix_path = text.substr(5);
    if (address.unix_path.empty()) return error("the path is empty");
    if (address.unix_path.size() >= sizeof(sockaddr_un::sun_path))
      return error("the path is longer than a socket's may be");
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return error("no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (port.empty() || parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() ||
      address.port < 0 || address.port > 65535) {
    return error("the port is a number from 0 to 65535");
  }
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return error("an IPv6 address stands in brackets");
  }
  if (host.empty()) return error("the host is empty; 0.0.0.0 is every address");
  address.host = host;
  return address;
}

}  // namespace guildhall
