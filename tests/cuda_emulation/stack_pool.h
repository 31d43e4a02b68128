// Stacks for the threads of blocks, kept from block to block.
#pragma once

#include <deque>
#include <vector>

#include "tests/cuda_emulation/fiber.h"

namespace guildhall::emulation {

// Each stack has a page below it that faults. Fibers that are given back go on where they left off.
class StackPool {
 public:
  StackPool() = default;
  ~StackPool();

  Fiber* Take(void (*entry)());
  void Give(Fiber* fiber) { idle_.push_back(fiber); }

 private:
  void Grow(void (*entry)());

  std::deque<Fiber> fibers_;
  std::vector<Fiber*> idle_;
  std::vector<std::byte*> pieces_;  // of kFibersPerPiece stacks each
};

}  // namespace guildhall::emulation
