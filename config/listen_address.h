// Where a listener listens.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace guildhall {

struct ListenAddress {
  std::string host;  // "" for Unix sockets
  int port = 0;      // 0: any free one
  std::string unix_path;

  bool unix_socket() const { return !unix_path.empty(); }
  bool any_port() const { return !unix_socket() && port == 0; }
  // Cannot be reached from other machines.
  bool local() const;
  // As gRPC takes it: "127.0.0.1:0", "[::1]:50051", "unix:/run/guildhall.sock".
  std::string Text() const;
};

// "HOST:PORT", "[IPV6]:PORT", "unix:PATH". INVALID_ARGUMENT begins with `key`.
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text, std::string_view key);

}  // namespace guildhall
