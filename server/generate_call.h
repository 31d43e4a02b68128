// The Generate call, whatever transport brought it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "guildhall/v1/inference.pb.h"
#include "server/answer_threads.h"
#include "server/call.h"
#include "server/generate_sink.h"
#include "server/open_streams.h"
#include "server/server_state.h"

namespace guildhall {

// Thread-safe. All front ends share one, so that a request's id is its own. The state and the streams outlive
// it, and it outlives its calls.
class GenerateCalls {
 public:
  GenerateCalls(const ServerState& state, OpenStreams& streams);

  // Validates, waits for the task's adapters, and hands the request to the engine; returns then, while the
  // answer goes to `sink` by itself: start, prompt, chunks, end, and last the status, with its details, as it
  // is in the log. Nothing is left with the engine by then; a call that is cancelled or past its deadline
  // ends soon. The client lives until the sink has been told the end, which may be before this returns.
  // `length`: max_tokens where neither the request nor any default says it; nullopt: the server's own.
  // Throws only where there is no memory to begin with; the sink is told nothing then.
  void Start(const v1::GenerateRequest& request, Call& client, std::unique_ptr<GenerateSink> sink,
             std::optional<int64_t> length = std::nullopt);

 private:
  const ServerState& state_;
  OpenStreams& streams_;
  AnswerThreads threads_;
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace guildhall
