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

// A packed matrix with its memory.
struct PackedWeights {
  Buffer memory;
  Matrix matrix;
};
PackedWeights PackWeights(const Backend& backend, std::span<const TensorView> parts, DType dtype);
PackedWeights PackWeights(const Backend& backend, const TestWeights& weights);
PackedWeights PackGateUpWeights(const Backend& backend, const TestWeights& gate, const TestWeights& up);

// Whether products of this level with weights of `dtype` round their inputs to bf16 first.
bool RoundsInputs(const std::string& isa, DType dtype);

// Values as the level's kernels read them, with what a value near a rounding border may be off.
struct Inputs {
  std::vector<double> values;
  std::vector<double> slack;
};
// `error`: how far each value itself may be off, relative.
Inputs RoundedInputs(std::span<const double> values, bool round, double error);
Inputs RoundedInputs(std::span<const float> values, bool round);

// A value and how far a float32 computation in any order may be away from it.
struct Expected {
  double value = 0;
  double tolerance = 0;
};
// One row of x times one row of W.
Expected Dot(const double* x, const double* slack, const double* w, int64_t k);

// Fails the running test unless the value is within the tolerance.
void RequireNear(float actual, const Expected& expected);

}  // namespace guildhall
