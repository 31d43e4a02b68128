// A range of numbers: what configuration and requests check, and what their errors say was expected.
#pragma once

#include <limits>
#include <string>

namespace guildhall {

struct NumberRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  // the smallest value itself is not in it

  // Not for NaN. What is `min` as a float is not above it.
  bool Contains(double value) const {
    return Holds(value, min, max) && (!above_min || static_cast<float>(value) > static_cast<float>(min));
  }
  // By the floats nearest to the bounds.
  bool Contains(float value) const { return Holds(value, static_cast<float>(min), static_cast<float>(max)); }

  // " from 0 to 1", " above 0 to 1", " of at least 1"; "" without bounds.
  std::string Text() const;

 private:
  template <typename T>
  bool Holds(T value, T low, T high) const {
    return (above_min ? value > low : value >= low) && value <= high;
  }
};

}  // namespace guildhall
