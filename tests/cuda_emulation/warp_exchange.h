// How the lanes of a warp do something together: shuffles, votes, matrix loads and products are made of it.
#pragma once

#include <cstdint>

namespace guildhall::emulation {

// What the lanes of a warp brought, by lane; null where the lane takes no part.
struct WarpSlots {
  void* slot[32];
};

// Called by a thread of a kernel. Waits until each lane of `mask` (those that have not ended; the caller's
// is among them) is here with the same `compute`; the last one runs it, once, on all slots: it reads each
// lane's operands there and leaves each lane's results there. Then all go on. Lanes that wait with different
// functions or masks, or that end instead, end the test. `what` names the call: "__shfl_sync".
void WarpExchange(uint32_t mask, void* slot, void (*compute)(const WarpSlots& slots), const char* what);

}  // namespace guildhall::emulation
