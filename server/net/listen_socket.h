// The sockets that a listener listens on.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/listen_address.h"
#include "server/net/file_descriptor.h"

namespace guildhall {

struct ListenOptions {
  ListenAddress address;
  std::string key;               // of the configuration, for messages: "server.listen"
  int user_timeout_ms = 20'000;  // until bytes that nobody acknowledges end a connection
  unsigned socket_mode = 0660;   // of a Unix socket
  std::string socket_group;      // that it belongs to; "": the process's own
};

// Bound and listening, one for each address of the host; not blocking.
struct ListenSockets {
  std::vector<FileDescriptor> sockets;
  int port = 0;  // that was chosen; 0 for Unix sockets
};

// 0.0.0.0 and [::] are every address of both families. The port is this process's alone; a Unix
// socket that nobody listens on is taken over. FAILED_PRECONDITION "port N is in use" and the like;
// INVALID_ARGUMENT for a host that cannot be resolved and a group that does not exist.
absl::StatusOr<ListenSockets> Listen(const ListenOptions& options);

}  // namespace guildhall
