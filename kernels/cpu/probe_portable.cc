// Probes for any CPU.
#include "kernels/cpu/probe_functions.h"

namespace guildhall {
namespace {

using Vector = float __attribute__((vector_size(16)));

uint64_t ReadBytes(const std::byte* data, int64_t bytes) {
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  uint64_t sum[4] = {};
  for (int64_t i = 0; i < bytes / 8; i += 4) {
    for (int j = 0; j < 4; ++j) sum[j] += words[i + j];
  }
  return sum[0] + sum[1] + sum[2] + sum[3];
}

// Makes a value unknown to the compiler, which would otherwise see that all chains are one, and keeps it
// alive.
inline void Launder(Vector& value) {
  asm volatile("" : "+m"(value));
}

double Fp32(int64_t rounds) {
  constexpr int kChains = 12;
  Vector chain[kChains] = {};
  Vector x = {1.0f, 1.0f, 1.0f, 1.0f};
  Launder(x);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chain[c] = chain[c] * x + x;
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 4 * 2;
}

}  // namespace

const ProbeFunctions kPortableProbe = {ReadBytes, Fp32, nullptr, nullptr};

}  // namespace guildhall
