// CRC-32C (Castagnoli), the checksum of files that we write: it finds what disks and copies do to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace guildhall {

// Of `bytes`, or going on from the checksum of what stands before them. Uses the processor's instruction
// where there is one.
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t before = 0);

// The same by tables alone.
uint32_t Crc32cPortable(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace guildhall
