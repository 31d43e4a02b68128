// Rotary angles of a position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/model_spec.h"

namespace guildhall {

// The angles of a position depend on that position alone; dynamic NTK takes the sequence to end there, which
// is what token-by-token decoding sees, so that chunking cannot change a result. Arithmetic in float as the
// families' reference has it. Immutable.
class Rope {
 public:
  explicit Rope(const RopeSpec& spec);

  int64_t half() const { return static_cast<int64_t>(frequency_.size()); }
  // Frequencies (half) as position 0 sees them.
  std::span<const float> frequency() const { return frequency_; }
  float attention_factor() const { return static_cast<float>(spec_.attention_factor); }

  // cos, sin: (end - begin, half) of the positions [begin, end), the attention factor multiplied in.
  void Fill(int64_t begin, int64_t end, float* cos, float* sin) const;

  // Frequencies of a sequence of `length` tokens: differs from frequency() for dynamic NTK only. `out`:
  // (half).
  void DynamicFrequency(int64_t length, std::span<float> out) const;

 private:
  RopeSpec spec_;
  std::vector<float> frequency_;
};

}  // namespace guildhall
