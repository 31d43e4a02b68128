// Who guesses in a step, and how much.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/sequence.h"

namespace guildhall {

// Guesses for those that decode and asked for it; all others have none. What is left of the answer, of the
// reader's room and of the step bounds them: of its `outputs` logit rows the decoding ones take one each, and
// where they leave none nobody searches. Engine thread only.
void ProposeDrafts(std::span<const std::unique_ptr<Sequence>> running, int64_t outputs);

}  // namespace guildhall
