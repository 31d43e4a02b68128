// Probes for AVX2 with FMA. Compiled for that level: nothing here may run before isa.cc has said yes,
// and no inline function of another header may be called from here.
#include <immintrin.h>

#include "kernels/cpu/probe_functions.h"

namespace guildhall {
namespace {

constexpr int kAheadBytes = 4096;

uint64_t ReadBytes(const std::byte* data, int64_t bytes) {
  __m256i sum[4] = {};
  for (int64_t i = 0; i < bytes; i += 128) {
    _mm_prefetch(data + i + kAheadBytes, _MM_HINT_T0);
    _mm_prefetch(data + i + kAheadBytes + 64, _MM_HINT_T0);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      sum[j] =
          _mm256_add_epi64(sum[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + j * 32)));
    }
  }
  alignas(32) uint64_t lanes[4];
  const __m256i all = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), all);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// As many independent chains as the registers hold beside the operands.
constexpr int kChains = 12;

// Makes a value unknown to the compiler, which would otherwise see that all chains are one, and keeps it
// alive.
template <typename T>
void Launder(T& value) {
  asm volatile("" : "+x"(value));
}

double Fp32(int64_t rounds) {
  __m256 chain[kChains] = {};
  __m256 x = _mm256_set1_ps(1.0f);
  Launder(x);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chain[c] = _mm256_fmadd_ps(x, x, chain[c]);
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 8 * 2;
}

// maddubs + madd + add: the int8 dot product of a level without VNNI.
double Int8Dot(int64_t rounds) {
  __m256i chain[kChains] = {};
  __m256i bytes = _mm256_set1_epi8(1);
  const __m256i words = _mm256_set1_epi16(1);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      Launder(bytes);  // or all products would be computed once
      chain[c] = _mm256_add_epi32(chain[c], _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, bytes), words));
    }
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 32 * 2;
}

}  // namespace

const ProbeFunctions kAvx2Probe = {ReadBytes, Fp32, nullptr, Int8Dot};

}  // namespace guildhall
