#include "base/format_bytes.h"

#include <catch2/catch.hpp>

namespace guildhall {

TEST_CASE("bytes are told in the largest binary unit that they fill") {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  CHECK(FormatBytes(0) == "0 B");
  CHECK(FormatBytes(97) == "97 B");
  CHECK(FormatBytes(1023, 2) == "1023 B");
  CHECK(FormatBytes(1024) == "1.0 KiB");
  CHECK(FormatBytes(uint64_t{3} << 19) == "1.5 MiB");
  CHECK(FormatBytes(kGiB * 3 / 2) == "1.5 GiB");
  CHECK(FormatBytes(~uint64_t{0}) == "16384.0 PiB");
  CHECK(FormatBytes(1536, 2) == "1.50 KiB");
  CHECK(FormatBytes(13838323712, 2) == "12.89 GiB");
}

}  // namespace guildhall
