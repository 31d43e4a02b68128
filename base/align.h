// Where pieces of memory begin, and how sizes are rounded up to it.
#pragma once

#include <cstddef>

namespace guildhall {

// In bytes: a cache line, and the widest vector register. Tensors, tables and scratch regions begin at a
// multiple of it, in memory and in files.
inline constexpr size_t kAlignment = 64;

// The smallest multiple of `unit` that is not below `value`; `unit` is at least 1, the sum must fit.
constexpr size_t AlignUp(size_t value, size_t unit = kAlignment) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace guildhall
