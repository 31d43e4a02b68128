// What the server says of itself, as messages of the administration.
#pragma once

#include "guildhall/v1/admin.pb.h"
#include "server/listener_counts.h"
#include "server/open_streams.h"
#include "server/server_state.h"

namespace guildhall {

void FillStatus(const ServerState& state, const OpenStreams& streams, const CountsOfListeners& listeners,
                v1::GetStatusResponse& to);
// The adapters with the tasks that use them, and the memory that they share.
void FillAdapterList(const Deployment& deployment, v1::ListAdaptersResponse& to);

}  // namespace guildhall
