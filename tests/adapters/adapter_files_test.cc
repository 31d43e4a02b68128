// Which element of a tensor is the first that is no finite number.
#include "adapters/adapter_files.h"

#include <catch2/catch.hpp>

#include <cstdint>
#include <cstring>
#include <vector>

namespace guildhall {
namespace {

struct Bits {
  DType dtype;
  uint32_t largest, infinite, nan;  // of the positive numbers; the sign is the highest bit
};

constexpr Bits kBits[] = {{DType::kF32, 0x7f7fffffu, 0x7f800000u, 0x7f800001u},
                          {DType::kBF16, 0x7f7fu, 0x7f80u, 0x7fc1u},
                          {DType::kF16, 0x7bffu, 0x7c00u, 0x7e01u}};

class Numbers {
 public:
  Numbers(DType dtype, int64_t count) : dtype_(dtype), bytes_(static_cast<size_t>(count) * DTypeSize(dtype)) {
    view_ = {.dtype = dtype, .shape = {count}, .data = bytes_.data()};
  }
  void Set(int64_t at, uint32_t bits, bool negative) {
    const size_t size = DTypeSize(dtype_);
    if (negative) bits |= 1u << (8 * size - 1);
    std::memcpy(bytes_.data() + static_cast<size_t>(at) * size, &bits, size);
  }
  int64_t First() const { return FirstNotFinite(view_); }

 private:
  DType dtype_;
  std::vector<std::byte> bytes_;
  TensorView view_;
};

TEST_CASE("the first number that is not finite is found wherever it is", "[adapters]") {
  for (const Bits& bits : kBits) {
    for (const int64_t count : {1, 7, 2047, 2048, 2049, 5000}) {
      for (const int64_t at : {int64_t{0}, count / 2, count - 1}) {
        for (const bool negative : {false, true}) {
          for (const uint32_t bad : {bits.infinite, bits.nan}) {
            INFO(DTypeName(bits.dtype) << ", " << count << " numbers, bad at " << at);
            Numbers numbers(bits.dtype, count);
            numbers.Set(at, bits.largest, negative);
            REQUIRE(numbers.First() == -1);
            numbers.Set(count - 1, bits.nan, negative);
            numbers.Set(at, bad, negative);
            REQUIRE(numbers.First() == at);
          }
        }
      }
    }
  }
}

TEST_CASE("no numbers are finite", "[adapters]") {
  for (const Bits& bits : kBits) REQUIRE(Numbers(bits.dtype, 0).First() == -1);
}

}  // namespace
}  // namespace guildhall
