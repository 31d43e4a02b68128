#include "server/net/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "base/str_cat.h"

namespace guildhall {
namespace {

Peer OfV4(const in_addr& address, in_port_t port) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address, text, sizeof(text));
  return {text, StrCat("ipv4:", text, ":", ntohs(port))};
}

}  // namespace

Peer PeerOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return OfV4(v4.sin_addr, v4.sin_port);
  }
  if (address.ss_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    in_addr inner{};
    std::memcpy(&inner, v6.sin6_addr.s6_addr + 12, sizeof(inner));
    return OfV4(inner, v6.sin6_port);
  }
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
  const std::string scope = v6.sin6_scope_id == 0 ? "" : StrCat("%25", v6.sin6_scope_id);
  return {text, StrCat("ipv6:%5B", text, scope, "%5D:", ntohs(v6.sin6_port))};
}

}  // namespace guildhall
