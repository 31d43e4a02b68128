// What each listener, and each address on it, gets of what all share.
#pragma once

#include <cstdint>

#include "config/server_config.h"

namespace guildhall {

// Most connections of a clients' listener whose key says `configured`; 0: what the descriptors allow,
// in equal parts where two listeners are for clients.
int64_t MostConnections(const ServerConfig& config, int64_t configured);
// The administration's: for few, who must get through.
int64_t AdminConnections();
// One address leaves some to the others: seven eighths of all, where `configured` is 0.
int64_t OfOneHost(int64_t configured, int64_t in_all);

}  // namespace guildhall
