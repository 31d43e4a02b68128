#include "tests/gpu/probe/columns.h"

#include <algorithm>
#include <limits>

#include "tests/gpu/probe/fact.h"
#include "tests/gpu/probe/operands.h"

namespace guildhall::probe {

namespace {

void PutColumn(Matrix& b, int column, const Matrix& values) {
  std::copy(values.begin(), values.end(), b.begin() + static_cast<ptrdiff_t>(column) * kSize);
}

}  // namespace

std::vector<float> ColumnOf(const std::vector<float>& y, int columns, int column) {
  std::vector<float> found(kRows);
  for (size_t row = 0; row < found.size(); ++row) {
    found[row] = y[row * static_cast<size_t>(columns) + static_cast<size_t>(column)];
  }
  return found;
}

void Answer(const std::string& question, size_t different, size_t of) {
  Fact(question, different == 0 ? "equal to the bit, of " + std::to_string(of)
                                : std::to_string(different) + " of " + std::to_string(of) + " differ");
}

void AskPlaces(const std::string& kind, int columns, const Product& product) {
  const Matrix a = Bf16Numbers(size_t{kRows} * kSize, 1), values = Bf16Numbers(kSize, 2);
  const auto wide = static_cast<size_t>(columns);
  std::vector<float> first;
  size_t moved = 0, beside = 0;
  for (int place = 0; place < columns; ++place) {
    Matrix b = Bf16Numbers(wide * kSize, 3 + static_cast<uint64_t>(place));
    PutColumn(b, place, values);
    const std::vector<float> found = ColumnOf(product(a, b), columns, place);
    if (place == 0) first = found;
    moved += DifferentBits(found.data(), first.data(), kRows);
  }
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float neighbour : {0.0f, 3e38f, infinity, std::numeric_limits<float>::quiet_NaN()}) {
    Matrix b(wide * kSize, FloatToBF16(neighbour));
    PutColumn(b, columns / 2, values);
    const std::vector<float> found = ColumnOf(product(a, b), columns, columns / 2);
    beside += DifferentBits(found.data(), first.data(), kRows);
  }
  Answer(kind + ": a column at each of its " + std::to_string(columns) + " places", moved, wide * kRows);
  Answer(kind + ": a column beside zeros, large numbers, infinities, NaNs", beside, size_t{4} * kRows);
}

}  // namespace guildhall::probe
