#include "base/arena.h"

#include <catch2/catch.hpp>
#include <cstdint>

using guildhall::AlignUp;
using guildhall::Arena;
using guildhall::kAlignment;

TEST_CASE("sizes are rounded up to whole units") {
  static_assert(AlignUp(0) == 0 && AlignUp(1) == 64 && AlignUp(64) == 64 && AlignUp(65) == 128);
  static_assert(AlignUp(5, 1) == 5 && AlignUp(10, 3) == 12 && AlignUp(4097, 4096) == 8192);
}

TEST_CASE("pieces of an arena are aligned, lie one after another and do not overlap") {
  alignas(kAlignment) std::byte memory[6 * kAlignment];
  Arena arena(memory);
  const auto at = [&](const void* piece) { return static_cast<const std::byte*>(piece) - memory; };
  CHECK(at(arena.Take<char>(1)) == 0);
  CHECK(at(arena.Take<float>(17)) == 64);
  CHECK(at(arena.Take<double>(0)) == 192);
  CHECK(at(arena.Take<int64_t>(8)) == 192);
  CHECK(at(arena.Take<std::byte>(65)) == 256);
  CHECK(arena.bytes() == 6 * kAlignment);
}

TEST_CASE("an arena without memory only adds up") {
  Arena sizes;
  CHECK(sizes.bytes() == 0);
  CHECK(sizes.Take<float>(17) == nullptr);
  CHECK(sizes.bytes() == 128);
  CHECK(sizes.Take<char>(1) == nullptr);
  CHECK(sizes.bytes() == 192);
}
