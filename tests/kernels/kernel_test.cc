#include "tests/kernels/kernel_test.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/reference/reference_backend.h"

namespace guildhall {

std::vector<TestBackend> OpTestBackends() {
  std::vector<TestBackend> backends = TestBackends();
  if (OnTestDevice()) return backends;  // the reference has its turn beside the CPU
  TestBackend& reference = backends.emplace_back();
  reference.name = "reference";
  reference.make = [](int) { return std::make_unique<ReferenceBackend>(); };
  reference.quantizes = false;
  return backends;
}

std::unique_ptr<Backend> MakeTestBackend(const TestBackend& on, int threads) {
  std::unique_ptr<Backend> backend = on.make(threads);
  StepLimits limits;
  limits.max_rows = 512;
  limits.max_width = 4096;
  limits.max_entries = 4096;
  limits.max_ffn_width = 512;
  limits.hidden = 512;
  limits.max_heads = 128;
  limits.max_experts = 512;
  REQUIRE(backend->Prepare(limits).ok());
  return backend;
}

uint64_t Random::Next() {
  state_ += 0x9e3779b97f4a7c15u;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

float Random::Float() {
  return static_cast<float>(Next() >> 40) * 0x1p-23f - 1.0f;
}

std::vector<float> Random::Floats(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = Float();
  return values;
}

std::vector<int32_t> Random::Permutation(int64_t count) {
  std::vector<int32_t> order(static_cast<size_t>(count));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<size_t>(Below(static_cast<int64_t>(i)))]);
  return order;
}

void RequireClose(std::span<const float> actual, std::span<const double> expected, double rtol, double atol) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (difference <= atol + rtol * std::abs(expected[i])) continue;
    INFO("element " << i << " of " << actual.size() << ": actual " << actual[i] << ", expected "
                    << expected[i]);
    FAIL("outside of the tolerance");
  }
}

}  // namespace guildhall
