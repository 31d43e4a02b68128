// ldmatrix: each lane names a row, the last one hands the elements out.
#include <cstring>

#include "emulated/ptx_instructions.h"
#include "emulated/warp.h"
#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/copies.h"

namespace guildhall::emulation {
namespace {

constexpr size_t kRowBytes = 16;

struct Loading {
  uint32_t* r;
  const std::byte* row;
  int matrices;
  bool transposed;
};

uint32_t Element(const Loading& row, int column) {
  uint16_t bits;
  std::memcpy(&bits, row.row + 2 * column, sizeof bits);
  return bits;
}

void Load(void* const* operands, unsigned) {
  const auto lane_of = [&](int lane) -> const Loading& {
    return *static_cast<const Loading*>(operands[lane]);
  };
  const int matrices = lane_of(0).matrices;
  const bool transposed = lane_of(0).transposed;
  for (int matrix = 0; matrix < matrices; ++matrix) {
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      uint32_t& to = lane_of(lane).r[matrix];
      if (transposed) {
        to = Element(lane_of(8 * matrix + 2 * t), g) | Element(lane_of(8 * matrix + 2 * t + 1), g) << 16;
      } else {
        std::memcpy(&to, lane_of(8 * matrix + g).row + 4 * t, sizeof to);
      }
    }
  }
}

}  // namespace

void LoadMatrices(uint32_t* r, const void* row, int matrices, bool transposed) {
  Loading mine = {r, static_cast<const std::byte*>(row), matrices, transposed};
  if (static_cast<int>(Lane()) < 8 * matrices) {
    CheckShared("ldmatrix", row, kRowBytes);
    if (Watcher* const watcher = CurrentWatcher()) {
      watcher->Touches({row, kRowBytes, Touch::kRead, __builtin_return_address(0)});
    }
  }
  const char* const what = transposed ? (matrices == 4 ? "ldmatrix.x4.trans" : "ldmatrix.x2.trans")
                                      : (matrices == 4 ? "ldmatrix.x4" : "ldmatrix.x2");
  Meet(~0u, what, &mine, &Load);
}

}  // namespace guildhall::emulation
