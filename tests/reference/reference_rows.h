// Rows of numbers in the memory of the reference back end.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/reference/guarded_memory.h"

namespace guildhall::reference {

using Memory = GuardedMemory;
using Row = std::vector<double>;

template <typename T>
const T& Only(const Memory& memory, const T* home) {
  return *memory.At(home, 1);
}

inline Row Load(const Memory& memory, const float* home, int64_t count) {
  const float* values = memory.At(home, count);
  return {values, values + count};
}

inline void Store(const Memory& memory, const Row& row, float* home) {
  float* values = memory.At(home, static_cast<int64_t>(row.size()));
  for (size_t i = 0; i < row.size(); ++i) values[i] = static_cast<float>(row[i]);
}

// Of a row; without places all do.
inline bool TakesPart(const Memory& memory, const int64_t* kv_place, int64_t row) {
  return kv_place == nullptr || Only(memory, kv_place + row) >= 0;
}

}  // namespace guildhall::reference
