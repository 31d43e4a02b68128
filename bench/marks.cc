#include "bench/marks.h"

#include <cstdio>

namespace guildhall {
namespace {

struct ByFormat {
  double bf16, int8, int4;
};
constexpr ByFormat kDecode1{0.95, 0.92, 0.85};
constexpr ByFormat kDecode32Avx512{0.92, 0.80, 0.70}, kDecode32{0.70, 0.70, 0.70};
constexpr ByFormat kPrefillAvx512{0.75, 0.50, 0.50}, kPrefill{0.65, 0.60, 0.60};
constexpr double kSmallDecode1 = 0.80;

Mark Pick(const ByFormat& marks, WeightFormat format) {
  switch (format) {
    case WeightFormat::kBF16:
      return Mark::AtLeast(marks.bf16);
    case WeightFormat::kInt8:
      return Mark::AtLeast(marks.int8);
    case WeightFormat::kInt4:
    case WeightFormat::kInt4Offset:
      return Mark::AtLeast(marks.int4);
    default:
      return {};
  }
}

}  // namespace

bool Mark::Reached(double found) const {
  switch (side) {
    case Side::kAtLeast:
      return found >= value;
    case Side::kAtMost:
      return found <= value;
    default:
      return true;
  }
}

std::string Mark::Text() const {
  if (!set()) return "";
  char text[32];
  std::snprintf(text, sizeof(text), "%s %.2f", side == Side::kAtLeast ? ">=" : "<=", value);
  return text;
}

Mark CaseMark(const std::string& shape, const BenchCase& c, WeightFormat format, bool avx512) {
  const bool decode = c.kind == BenchCase::Kind::kDecode;
  if (shape == "small") return decode && c.rows == 1 ? Mark::AtLeast(kSmallDecode1) : Mark{};
  if (decode && c.rows == 1) return Pick(kDecode1, format);
  if (decode && c.rows == 32) return Pick(avx512 ? kDecode32Avx512 : kDecode32, format);
  if (!decode && c.rows == 512) return Pick(avx512 ? kPrefillAvx512 : kPrefill, format);
  return {};
}

}  // namespace guildhall
