// CRC-32C against published values, and both ways of computing it against each other.
#include "base/crc32c.h"

#include <catch2/catch.hpp>
#include <random>
#include <string_view>
#include <vector>

namespace guildhall {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST_CASE("CRC-32C gives the values that RFC 3720 publishes") {
  CHECK(Crc32c({}) == 0u);
  CHECK(Crc32c(Bytes("123456789")) == 0xe3069283u);
  const std::vector<std::byte> zeros(32), ones(32, std::byte{0xff});
  CHECK(Crc32c(zeros) == 0x8a9136aau);
  CHECK(Crc32c(ones) == 0x62a8ab43u);
  CHECK(Crc32cPortable(ones) == 0x62a8ab43u);
}

TEST_CASE("CRC-32C is the same by tables and by the instruction, whole and in parts") {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(300);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size : {0, 1, 7, 8, 9, 63, 64, 65, 200}) {
      const auto part = std::span(bytes).subspan(begin, size);
      const uint32_t whole = Crc32c(part);
      CHECK(whole == Crc32cPortable(part));
      const size_t cut = size / 3;
      CHECK(whole == Crc32c(part.subspan(cut), Crc32c(part.first(cut))));
    }
  }
}

}  // namespace
}  // namespace guildhall
