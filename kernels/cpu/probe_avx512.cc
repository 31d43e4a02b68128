// Probes for AVX-512 with BF16 and VNNI. Compiled for that level: nothing here may run before isa.cc has said
// yes, and no inline function of another header may be called from here.
#include <immintrin.h>

#include "kernels/cpu/probe_functions.h"

namespace guildhall {
namespace {

constexpr int kAheadBytes = 4096;

uint64_t ReadBytes(const std::byte* data, int64_t bytes) {
  __m512i sum[4] = {};
  for (int64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      _mm_prefetch(data + i + kAheadBytes + j * 64, _MM_HINT_T0);
      sum[j] = _mm512_add_epi64(sum[j], _mm512_load_si512(data + i + j * 64));
    }
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(all));
}

// Enough independent chains to fill the pipes at any latency seen so far.
constexpr int kChains = 16;

// Makes a value unknown to the compiler, which would otherwise see that all chains are one, and keeps it
// alive.
template <typename T>
void Launder(T& value) {
  asm volatile("" : "+v"(value));
}

double Fp32(int64_t rounds) {
  __m512 chain[kChains] = {};
  __m512 x = _mm512_set1_ps(1.0f);
  Launder(x);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_fmadd_ps(x, x, chain[c]);
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 16 * 2;
}

double Bf16Dot(int64_t rounds) {
  __m512 chain[kChains] = {};
  __m512i ones = _mm512_set1_epi16(0x3f80);
  Launder(ones);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_dpbf16_ps(chain[c], (__m512bh)ones, (__m512bh)ones);
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 32 * 2;
}

double Int8Dot(int64_t rounds) {
  __m512i chain[kChains] = {};
  __m512i ones = _mm512_set1_epi8(1);
  Launder(ones);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_dpbusd_epi32(chain[c], ones, ones);
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 64 * 2;
}

}  // namespace

const ProbeFunctions kAvx512Probe = {ReadBytes, Fp32, Bf16Dot, Int8Dot};

}  // namespace guildhall
