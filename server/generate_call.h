// The Generate call, whatever transport brought it.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "guildhall/v1/inference.pb.h"
#include "server/answer_stream.h"
#include "server/call.h"
#include "server/open_streams.h"
#include "server/server_state.h"

namespace guildhall {

// Thread-safe. All front ends share one, so that a request's id is its own. The state and the streams outlive
// it.
class GenerateCalls {
 public:
  GenerateCalls(const ServerState& state, OpenStreams& streams) : state_(state), streams_(streams) {}

  // Validates, waits for the task's adapters, and writes the answer to `sink`: start, prompt, chunks, end.
  // Blocks until the engine has let go of the request; a call that is cancelled or past its deadline ends
  // soon. The status, with its details, is what the client is told, and is in the log.
  absl::Status Run(const v1::GenerateRequest& request, Call& client, GenerateSink& sink);

 private:
  const ServerState& state_;
  OpenStreams& streams_;
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace guildhall
