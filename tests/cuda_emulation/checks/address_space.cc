#include "tests/cuda_emulation/checks/address_space.h"

#include <malloc.h>

#include <iterator>

#include "base/align.h"
#include "base/str_cat.h"
#include "tests/cuda_emulation/checks/source_line.h"
#include "tests/cuda_emulation/machine.h"
#include "tests/cuda_emulation/report.h"
#include "tests/cuda_emulation/shared_memory.h"

extern "C" const std::byte __executable_start;
extern "C" const std::byte end;

namespace guildhall::emulation {
namespace {

// Threads' stacks are at most this large; a thread has no other's address.
constexpr ptrdiff_t kStackBytes = 64 << 10;
constexpr size_t kPage = 4096;
constexpr size_t kSharedWindowBytes = SharedMemory::kMostBytes + (64 << 10);

}  // namespace

void AddressSpace::Begin(const Launch& launch) {
  const auto* const call = reinterpret_cast<const std::byte*>(launch.call.get());
  arguments_ = {call, call + malloc_usable_size(launch.call.get())};
  for (Range& found : found_) found = {};
}

void AddressSpace::SetShared(const BlockState& block) {
  shared_ = {block.shared.data(), block.shared.data() + block.shared.size()};
  const std::byte* const window_end = block.shared.data() + AlignUp(block.shared.size(), 1024);
  shared_window_ = {window_end - SharedMemory::kMostBytes,
                    window_end - SharedMemory::kMostBytes + kSharedWindowBytes};
}

bool AddressSpace::IsOwn(const void* address, size_t bytes, bool write) const {
  const auto* const at = static_cast<const std::byte*>(address);
  const ptrdiff_t from_frame = at - static_cast<const std::byte*>(__builtin_frame_address(0));
  if (from_frame > -kStackBytes && from_frame < kStackBytes) return true;
  if (write) return false;
  if (arguments_.Has(address, bytes) || Range{&__executable_start, &end}.Has(address, bytes)) return true;
  for (const void* const index : {static_cast<const void*>(&threadIdx), static_cast<const void*>(&blockIdx),
                                  static_cast<const void*>(&blockDim), static_cast<const void*>(&gridDim)}) {
    const auto* const begin = static_cast<const std::byte*>(index);
    if (Range{begin, begin + sizeof(dim3)}.Has(address, bytes)) return true;
  }
  return false;
}

Space AddressSpace::Check(const void* address, size_t bytes, bool write, const void* pc) {
  if (shared_.Has(address, bytes)) return Space::kShared;
  for (const Range& found : found_) {
    if (found.Has(address, bytes)) return Space::kGlobal;
  }
  if (IsOwn(address, bytes, write)) return Space::kOwn;
  const DeviceState* const device = Machine::Get().DeviceOf(address);
  if (device != nullptr) {
    const DeviceRange::Piece piece = device->range.FindBefore(address);
    const Range range = {piece.begin, piece.begin + piece.bytes};
    if (piece.open && range.Has(address, bytes)) {
      found_[next_found_++ % std::size(found_)] = range;
      return Space::kGlobal;
    }
  } else if (Machine::Get().pinned.Contains(address, bytes)) {
    return Space::kGlobal;
  }
  Report(StrCat(write ? "writes " : "reads ", bytes, bytes == 1 ? " byte (" : " bytes (",
                SourceLine(PlaceOf(pc)), ")", WhatIsWrong(address, device)));
}

std::string AddressSpace::WhatIsWrong(const void* address, const DeviceState* device) const {
  const auto* const at = static_cast<const std::byte*>(address);
  if (shared_window_.Has(address, 1)) {
    return StrCat(" at ", at - shared_.begin, " in shared memory, out of bounds: the block has ",
                  shared_.end - shared_.begin);
  }
  if (device == nullptr) return StrCat(" of the host's pageable memory at ", AddressText(address));
  const DeviceRange::Piece piece = device->range.FindBefore(address);
  if (piece.open && static_cast<size_t>(at - piece.begin) < AlignUp(piece.bytes, kPage) + kPage) {
    return StrCat(" at ", at - piece.begin, " in device memory, out of bounds: that piece has ", piece.bytes);
  }
  return StrCat(" at ", AddressText(address), " in ", device->range.Describe(address));
}

std::string AddressSpace::Name(const void* address) const {
  if (shared_.Has(address, 1)) {
    return StrCat("byte ", static_cast<const std::byte*>(address) - shared_.begin, " of shared memory");
  }
  if (const DeviceState* const device = Machine::Get().DeviceOf(address)) {
    const DeviceRange::Piece piece = device->range.FindBefore(address);
    return StrCat("byte ", static_cast<const std::byte*>(address) - piece.begin, " of a piece of ",
                  piece.bytes, " bytes of device memory");
  }
  return StrCat("the byte at ", AddressText(address));
}

}  // namespace guildhall::emulation
