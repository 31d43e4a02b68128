// The back ends that tests run over: a case runs on each of them, unchanged.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/make_backend.h"
#include "kernels/weight_format.h"

namespace guildhall {

// What rows of x are rounded to before a product; kInt8: block by block, whose sums are then exact.
enum class Rounding { kNone, kTF32, kBF16, kInt8 };

// One level of one back end, and what it does to numbers beyond rounding float sums.
struct TestBackend {
  std::string name;        // its layout: "cpu/avx512"
  BackendOptions options;  // what makes the program take it, where the program knows it; one thread
  // CHECKs that it can be made. `threads`: lanes, where a back end lets itself be told.
  std::function<std::unique_ptr<Backend>(int threads)> make;
  // Numbers of lanes with which the bits of results are compared.
  std::vector<int> lanes = {1};
  // What products round their input to, by the format of the weights.
  Rounding bf16_input = Rounding::kNone, f16_input = Rounding::kNone, quantized_input = Rounding::kInt8;
  // Attention over a cache that is not f32 rounds queries and weights to bf16; over one of f16, to f16 or
  // not at all.
  bool bf16_attention = false;
  // And takes subnormals for 0.
  bool flushes_subnormals = false;
  // It keeps weights and the cache in the formats that it is asked for. Else it keeps the numbers as they
  // come, and what is quantized is not compared.
  bool quantizes = true;

  Rounding RoundingOf(WeightFormat format) const;
  // Those that it keeps to the number.
  std::vector<WeightFormat> weight_formats() const;
  std::vector<KvFormat> kv_formats() const;
  bool Keeps(KvFormat format) const { return quantizes || format == KvFormat::kF32; }
};

// Every level of the CPU that this machine has, the lowest first; or, where GUILDHALL_TEST_DEVICE names a
// device ("cuda", "cuda:1"), that one alone.
std::vector<TestBackend> TestBackends();

// The CPU's only, for tests of its packed bytes and of bits that its levels share. The first is portable.
std::vector<TestBackend> CpuTestBackends();

// What the program takes by itself, GUILDHALL_ISA and GUILDHALL_TEST_DEVICE heard: for tests of what no back
// end decides.
TestBackend DefaultTestBackend();

// Whether GUILDHALL_TEST_DEVICE names a device.
bool OnTestDevice();

// Who computes the products there: GUILDHALL_TEST_PRODUCTS ("library").
DeviceProducts TestProducts();

}  // namespace guildhall
