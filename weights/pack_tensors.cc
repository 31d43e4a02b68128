#include "weights/pack_tensors.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

// (columns, rows) of elements of one size, in tiles whose rows and columns both stay in the cache.
template <typename Element>
void TransposeElements(const std::byte* from, size_t rows, size_t columns, std::byte* to) {
  constexpr size_t kTile = 32;
  for (size_t r = 0; r < rows; r += kTile) {
    for (size_t c = 0; c < columns; c += kTile) {
      for (size_t column = c; column < std::min(c + kTile, columns); ++column) {
        for (size_t row = r; row < std::min(r + kTile, rows); ++row) {
          std::memcpy(to + (column * rows + row) * sizeof(Element),
                      from + (row * columns + column) * sizeof(Element), sizeof(Element));
        }
      }
    }
  }
}

}  // namespace

absl::Status PackTensors(const ReadWeightRows& read, const Backend& backend, const PackShape& shape,
                         std::span<const WeightPart> parts, std::byte* place, PackScratch& scratch) {
  GH_CHECK_LE(parts.size(), PackScratch::kBuffers);
  std::vector<int64_t> rows;
  for (const WeightPart& part : parts) rows.push_back(part.out);
  const auto read_part = [&](size_t part, int64_t begin, int64_t end) -> absl::StatusOr<TensorView> {
    GH_RETURN_IF_ERROR(scratch.CheckStopped());
    return read(parts[part].key, begin, end, scratch[part]);
  };
  return backend.PackFrom(shape, {rows, read_part}, place);
}

TensorView TransposeTo(const TensorView& view, DType dtype, std::byte* to) {
  const auto rows = static_cast<size_t>(view.shape[0]), columns = static_cast<size_t>(view.shape[1]);
  const TensorView result{dtype, {view.shape[1], view.shape[0]}, to};
  if (view.dtype == dtype) {
    if (DTypeSize(dtype) == 4) TransposeElements<uint32_t>(view.data, rows, columns, to);
    if (DTypeSize(dtype) == 2) TransposeElements<uint16_t>(view.data, rows, columns, to);
    return result;
  }
  for (size_t c = 0; c < columns; ++c) {
    for (size_t r = 0; r < rows; ++r, to += DTypeSize(dtype)) {
      const float value = LoadElement(view.data, view.dtype, static_cast<int64_t>(r * columns + c));
      const uint16_t narrow = FloatToBF16(value);
      std::memcpy(to, dtype == DType::kF32 ? static_cast<const void*>(&value) : &narrow, DTypeSize(dtype));
    }
  }
  return result;
}

TensorView Transpose(const TensorView& view, std::vector<std::byte>& scratch) {
  scratch.resize(view.Bytes());
  return TransposeTo(view, view.dtype, scratch.data());
}

}  // namespace guildhall
