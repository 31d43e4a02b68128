#include "adapters/dora.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr int64_t kBlock = 16;

// The square of || weight + scale b A || over `columns` <= kBlock columns from `begin`.
double BlockSquare(const float* weight, const float* b, const float* a, int64_t rank, int64_t in,
                   int64_t begin, int64_t columns, float scale) {
  float change[kBlock] = {};
  for (int64_t k = 0; k < rank; ++k) {
    const float* row = a + k * in + begin;
    if (columns == kBlock) {
      for (int64_t j = 0; j < kBlock; ++j) change[j] += b[k] * row[j];
    } else {
      for (int64_t j = 0; j < columns; ++j) change[j] += b[k] * row[j];
    }
  }
  double sum = 0;
  for (int64_t j = 0; j < columns; ++j) {
    const double value = double{weight[begin + j]} + double{scale} * double{change[j]};
    sum += value * value;
  }
  return sum;
}

std::vector<float> ToFloats(const TensorView& view) {
  std::vector<float> floats(static_cast<size_t>(view.Elements()));
  for (size_t i = 0; i < floats.size(); ++i) {
    floats[i] = LoadElement(view.data, view.dtype, static_cast<int64_t>(i));
  }
  return floats;
}

// magnitude / sqrt(squares), by output.
absl::StatusOr<std::vector<float>> GainsOf(const std::vector<double>& squares, const TensorView& magnitude) {
  GH_CHECK_EQ(magnitude.Elements(), static_cast<int64_t>(squares.size()));
  std::vector<float> gains(squares.size());
  for (size_t o = 0; o < squares.size(); ++o) {
    const double trained = LoadElement(magnitude.data, magnitude.dtype, static_cast<int64_t>(o));
    gains[o] = static_cast<float>(trained / std::sqrt(squares[o]));
    if (squares[o] > 0 && std::isfinite(gains[o])) continue;
    return absl::InvalidArgumentError(StrCat(
        "DoRA: expected rows of the changed weight with a length, found row ", o, " of length ",
        std::sqrt(squares[o]), " for the magnitude ", trained, ": is the adapter of another base model?"));
  }
  return gains;
}

}  // namespace

absl::StatusOr<std::vector<float>> DoraGains(const TensorView& weight, const TensorView& a,
                                             const TensorView& b, float scale, const TensorView& magnitude) {
  const int64_t out = weight.shape[0], in = weight.shape[1], rank = a.shape[0];
  const std::vector<float> factors_a = ToFloats(a), factors_b = ToFloats(b);
  std::vector<double> squares(static_cast<size_t>(out));
  std::vector<float> row(static_cast<size_t>(in));
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t j = 0; j < in; ++j) {
      row[static_cast<size_t>(j)] = LoadElement(weight.data, weight.dtype, o * in + j);
    }
    double& square = squares[static_cast<size_t>(o)];
    for (int64_t begin = 0; begin < in; begin += kBlock) {
      square += BlockSquare(row.data(), factors_b.data() + o * rank, factors_a.data(), rank, in, begin,
                            std::min(kBlock, in - begin), scale);
    }
  }
  return GainsOf(squares, magnitude);
}

absl::StatusOr<std::vector<float>> DoraEmbeddingGains(const TensorView& weight, const TensorView& a,
                                                      const TensorView& b, float scale,
                                                      const TensorView& magnitude) {
  const int64_t in = weight.shape[0], out = weight.shape[1], rank = a.shape[0];
  const std::vector<float> factors_a = ToFloats(a), factors_b = ToFloats(b);
  std::vector<double> squares(static_cast<size_t>(out));
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t o = 0; o < out; ++o) {
      float change = 0;
      for (int64_t k = 0; k < rank; ++k) {
        change += factors_b[static_cast<size_t>(o * rank + k)] * factors_a[static_cast<size_t>(k * in + i)];
      }
      const double value =
          double{LoadElement(weight.data, weight.dtype, i * out + o)} + double{scale} * double{change};
      squares[static_cast<size_t>(o)] += value * value;
    }
  }
  return GainsOf(squares, magnitude);
}

}  // namespace guildhall
