#include "base/memory_nodes.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <bitset>

namespace guildhall {
namespace {

// The most nodes that any configuration of the kernel has.
constexpr size_t kMostNodes = 1024;
constexpr size_t kWordBits = 8 * sizeof(unsigned long);
using NodeMask = std::array<unsigned long, kMostNodes / kWordBits>;

int CountNodes(const NodeMask& mask) {
  size_t nodes = 0;
  for (const unsigned long word : mask) nodes += std::bitset<kWordBits>(word).count();
  return static_cast<int>(nodes);
}

// mbind() reads one bit fewer than the size that it is given says, hence the + 1.
bool Interleave(void* data, size_t bytes, const NodeMask& mask) {
  return syscall(SYS_mbind, data, bytes, MPOL_INTERLEAVE, mask.data(), kMostNodes + 1, 0) == 0;
}

// The nodes that this process may take memory from; empty where the system does not let it ask or spread.
NodeMask UsableNodes() {
  NodeMask mask{};
  if (syscall(SYS_get_mempolicy, nullptr, mask.data(), kMostNodes, nullptr, MPOL_F_MEMS_ALLOWED) != 0)
    return {};
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* trial = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (trial == MAP_FAILED) return {};
  const bool granted = Interleave(trial, page, mask);
  munmap(trial, page);
  return granted ? mask : NodeMask{};
}

const NodeMask& Nodes() {
  static const NodeMask mask = UsableNodes();
  return mask;
}

}  // namespace

int MemoryNodes() {
  const int nodes = CountNodes(Nodes());
  return nodes > 1 ? nodes : 1;
}

void SpreadOverNodes(void* data, size_t bytes) {
  if (MemoryNodes() > 1) (void)Interleave(data, bytes, Nodes());
}

}  // namespace guildhall
