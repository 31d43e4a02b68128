// The float64 oracle of matrix products, and weights of every dtype to feed it.
#pragma once

#include <cstdint>
#include <span>
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

// The dtype to make test weights of a format from: its own, or bf16.
DType SourceOf(WeightFormat format);

PackedWeights PackWeights(Backend& backend, std::span<const TensorView> parts, WeightFormat format);
PackedWeights PackWeights(Backend& backend, const TestWeights& weights);
// Heads of equal shape, one behind the other.
struct PackedHeads {
  DeviceBuffer memory;
  HeadMatrices matrices;
};
PackedHeads PackHeads(Backend& backend, const std::vector<TestWeights>& heads);
// In any format. Where that is a quantized one, the weights' `values` become those that its codes stand for,
// which are the same on every back end that quantizes: NaN where a scale is.
PackedWeights PackWeightsAs(Backend& backend, TestWeights& weights, WeightFormat format);
PackedWeights PackGateUpWeightsAs(Backend& backend, TestWeights& gate, TestWeights& up, WeightFormat format);

// What a back end packs, on the host.
Buffer PackOnHost(const Backend& backend, const PackShape& shape, std::span<const TensorView> parts);
PackShape StackOf(std::span<const TensorView> parts, WeightFormat format);
// The values of a matrix of a quantized format in the CPU's documented layout: (panels * 16, in).
std::vector<double> Dequantized(const std::byte* packed, WeightFormat format, int64_t panels, int64_t in);

// Values of one row as a back end's kernels read them, with what a value near a rounding border may be off.
struct Inputs {
  Rounding rounding = Rounding::kNone;
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
// One row of x times one row of W. Where both are in blocks of integers, only the sums of whole blocks round.
Expected Dot(const Inputs& x, const double* w, int64_t k, WeightFormat format);

// Fails the running test unless the value is within the tolerance.
void RequireNear(float actual, const Expected& expected);

}  // namespace guildhall
