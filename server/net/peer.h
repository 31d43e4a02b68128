// Who is at the other end of a connection.
#pragma once

#include <sys/socket.h>

#include <string>

namespace guildhall {

struct Peer {
  std::string host;  // "10.0.0.7", "fe80::1"; "" for Unix sockets
  // As gRPC names it, alone among the connections of a listener: "ipv4:10.0.0.7:4711",
  // "ipv6:%5Bfe80::1%5D:4711". "" for Unix sockets, whose clients have no names.
  std::string name;
};

Peer PeerOf(const sockaddr_storage& address);

}  // namespace guildhall
