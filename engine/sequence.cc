#include "engine/sequence.h"

#include <new>

namespace guildhall {
namespace {

// A status without a text needs no memory: the end of a request must reach its reader even when there is none
// left.
absl::Status MakeStatus(absl::StatusCode code, std::string_view message) {
  try {
    return absl::Status(code, absl::string_view(message.data(), message.size()));
  } catch (const std::bad_alloc&) {
    return absl::Status(code, "");
  }
}

}  // namespace

void Sequence::End(FinishReason reason, absl::StatusCode code, std::string_view message, absl::Time now) {
  if (ended) return;
  ended = true;
  end.reason = reason;
  end.status = MakeStatus(code, message);
  end.usage.prompt_tokens = prompt_tokens;
  end.usage.output_tokens = length() - prompt_tokens;
  RequestTimings& timings = end.timings;
  timings.total = now - submitted;
  timings.queue = (scheduled == absl::InfiniteFuture() ? now : scheduled) - submitted;
  if (first_token != absl::InfiniteFuture()) {
    timings.prefill = first_token - scheduled;
    timings.first_token = first_token - submitted;
  }
}

}  // namespace guildhall
