#include "engine/propose_drafts.h"

#include <algorithm>

#include "engine/token_stream.h"

namespace guildhall {

void ProposeDrafts(std::span<const std::unique_ptr<Sequence>> running, int64_t outputs) {
  const int64_t left = outputs - std::count_if(running.begin(), running.end(),
                                               [](const auto& sequence) { return sequence->decodes(); });
  for (const auto& sequence : running) {
    if (!sequence->drafter.enabled()) continue;
    sequence->drafter.Clear();
    if (left <= 0 || !sequence->decodes()) continue;
    const Request& request = *sequence->request;
    const auto made = static_cast<int64_t>(sequence->output().size());
    const auto room = static_cast<int64_t>(request.stream->Room());
    sequence->drafter.Propose(sequence->tokens,
                              std::min(left, std::min(request.sampling.max_tokens - made, room) - 1));
  }
}

}  // namespace guildhall
