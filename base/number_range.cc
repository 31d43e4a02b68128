#include "base/number_range.h"

#include <cmath>
#include <cstdint>

#include "base/str_cat.h"

namespace guildhall {
namespace {

std::string NumberText(double value) {
  if (std::abs(value) < 1e15 && value == std::floor(value)) return StrCat(static_cast<int64_t>(value));
  return StrCat(value);
}

}  // namespace

std::string NumberRange::Text() const {
  if (std::isinf(min)) return std::isinf(max) ? "" : StrCat(" of at most ", NumberText(max));
  if (std::isinf(max)) return StrCat(above_min ? " above " : " of at least ", NumberText(min));
  return StrCat(above_min ? " above " : " from ", NumberText(min), " to ", NumberText(max));
}

}  // namespace guildhall
