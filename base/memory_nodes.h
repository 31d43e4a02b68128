// Memory of machines with several nodes (NUMA): spread over all, so that all threads read it equally fast and
// from all memory controllers at once.
#pragma once

#include <cstddef>

namespace guildhall {

// The memory nodes over which SpreadOverNodes() puts pages; 1 where there is one, or where the system (a
// container's rules) refuses to say or to spread.
int MemoryNodes();

// Pages of [data, data + bytes) that are touched for the first time from now on come from the nodes in turn.
// On page borders. Nothing on one node; a refusal costs speed only.
void SpreadOverNodes(void* data, size_t bytes);

}  // namespace guildhall
