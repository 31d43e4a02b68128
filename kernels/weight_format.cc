#include "kernels/weight_format.h"

#include <array>
#include <cstddef>

namespace guildhall {
namespace {

struct FormatFacts {
  std::string_view name;
  double bits;
};

// In the order of the enum; a scale or an offset of 16 bits for each block.
constexpr double kPerBlock = 16.0 / kQuantBlock;
constexpr std::array<FormatFacts, kWeightFormats> kFacts{{{"f32", 32.0},
                                                          {"bf16", 16.0},
                                                          {"f16", 16.0},
                                                          {"int8", 8.0 + kPerBlock},
                                                          {"int4", 4.0 + kPerBlock},
                                                          {"int4_offset", 4.0 + 2.0 * kPerBlock}}};

}  // namespace

std::string_view WeightFormatName(WeightFormat format) {
  return kFacts[static_cast<size_t>(format)].name;
}

std::optional<WeightFormat> ParseWeightFormat(std::string_view name) {
  for (size_t i = 0; i < kFacts.size(); ++i) {
    if (kFacts[i].name == name) return static_cast<WeightFormat>(i);
  }
  return std::nullopt;
}

double BitsPerWeight(WeightFormat format) {
  return kFacts[static_cast<size_t>(format)].bits;
}

}  // namespace guildhall
