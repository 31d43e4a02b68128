// Where an address of a kernel leads.
#pragma once

#include <cstddef>
#include <string>

#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/machine.h"

namespace guildhall::emulation {

enum class Space { kShared, kGlobal, kOwn };  // kOwn: the thread's variables, arguments, constants

// For one host thread at a time, between two Begin.
class AddressSpace {
 public:
  void Begin(const Launch& launch);
  // The block's shared memory is where it is from here on.
  void SetShared(const BlockState& block);

  // Ends the run, with the reason, where a kernel may not touch [address, address + bytes).
  Space Check(const void* address, size_t bytes, bool write, const void* pc);
  // "byte 12 of shared memory", "byte 96 of a piece of 128 bytes of device memory".
  std::string Name(const void* address) const;

 private:
  struct Range {
    const std::byte* begin = nullptr;
    const std::byte* end = nullptr;
    bool Has(const void* address, size_t bytes) const {
      return static_cast<const std::byte*>(address) >= begin &&
             static_cast<const std::byte*>(address) + bytes <= end;
    }
  };
  std::string WhatIsWrong(const void* address, const DeviceState* device) const;
  bool IsOwn(const void* address, size_t bytes, bool write) const;

  Range shared_;         // what the block has
  Range shared_window_;  // what no block can have, too
  Range arguments_;
  Range found_[8];  // memory that was touched last
  unsigned next_found_ = 0;
};

}  // namespace guildhall::emulation
