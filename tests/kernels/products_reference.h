// The float64 oracle of matrix products, and weights of every dtype to feed it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/tensor_view.h"
#include "kernels/backend.h"
#include "tests/kernels/kernel_test.h"

namespace guildhall {

// A random (out, in) tensor: its bytes, and the same values in float64.
struct TestWeights {
  DType dtype;
  int64_t out, in;
  std::vector<std::byte> bytes;
  std::vector<double> values;

  TensorView View() const { return {dtype, {out, in}, bytes.data()}; }
};
TestWeights MakeWeights(Random& random, DType dtype, int64_t out, int64_t in);

// All formats of weights, and the dtype to make test weights of a format from: its own, or bf16.
inline const std::vector<WeightFormat> kAllFormats = {WeightFormat::kF32,  WeightFormat::kBF16,
                                                      WeightFormat::kF16,  WeightFormat::kInt8,
                                                      WeightFormat::kInt4, WeightFormat::kInt4Offset};
DType SourceOf(WeightFormat format);

// A packed matrix with its memory.
struct PackedWeights {
  Buffer memory;
  Matrix matrix;
};
PackedWeights PackAs(const Backend& backend, const PackShape& shape, std::span<const TensorView> parts);
PackedWeights PackWeights(const Backend& backend, std::span<const TensorView> parts, WeightFormat format);
PackedWeights PackWeights(const Backend& backend, std::span<const TensorView> parts, DType dtype);
PackedWeights PackWeights(const Backend& backend, const TestWeights& weights);
PackedWeights PackGateUpWeights(const Backend& backend, const TestWeights& gate, const TestWeights& up);
// In any format. Where that is a quantized one, the weights' `values` become those that the packed bytes
// stand for: NaN where a scale is.
PackedWeights PackWeightsAs(const Backend& backend, TestWeights& weights, WeightFormat format);
PackedWeights PackGateUpWeightsAs(const Backend& backend, TestWeights& gate, TestWeights& up,
                                  WeightFormat format);
// The values of a packed matrix of a quantized format in its documented layout: (panels * 16, in).
std::vector<double> Dequantized(const std::byte* packed, WeightFormat format, int64_t panels, int64_t in);

// What rows of x are rounded to before a product.
enum class Rounding { kNone, kBF16, kInt8 };
Rounding RoundingOf(const std::string& isa, WeightFormat format);

// Values of one row as the level's kernels read them, with what a value near a rounding border may be off.
struct Inputs {
  std::vector<double> values;
  std::vector<double> slack;
};
// `relative`, `absolute`: how far each value itself may be off.
Inputs RoundedInputs(std::span<const double> row, Rounding rounding, double relative, double absolute);
// Of values that are exact.
Inputs RoundedInputs(std::span<const float> row, Rounding rounding);

// A value and how far a float32 computation in any order may be away from it.
struct Expected {
  double value = 0;
  double tolerance = 0;
};
// One row of x times one row of W. Sums of quantized blocks are exact, so only those of whole blocks round.
Expected Dot(const Inputs& x, const double* w, int64_t k, WeightFormat format);

// Fails the running test unless the value is within the tolerance.
void RequireNear(float actual, const Expected& expected);

}  // namespace guildhall
