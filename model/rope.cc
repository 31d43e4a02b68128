#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace guildhall {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

std::vector<float> BaseFrequency(double theta, int dim) {
  std::vector<float> frequency(static_cast<size_t>(dim / 2));
  for (size_t i = 0; i < frequency.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / dim;
    frequency[i] = static_cast<float>(1.0 / std::pow(theta, exponent));
  }
  return frequency;
}

// Low frequencies are stretched by `factor`, high ones kept, those between blended by their wavelength.
void ScaleLlama3(const RopeSpec& spec, std::vector<float>& frequency) {
  const double original = static_cast<double>(spec.original_max_positions);
  const double longest_kept = original / spec.high_freq_factor;
  const double shortest_scaled = original / spec.low_freq_factor;
  for (float& f : frequency) {
    const double wavelength = kTwoPi / f;
    if (wavelength < longest_kept) continue;
    const double scaled = f / spec.factor;
    if (wavelength > shortest_scaled) {
      f = static_cast<float>(scaled);
      continue;
    }
    const double blend =
        (original / wavelength - spec.low_freq_factor) / (spec.high_freq_factor - spec.low_freq_factor);
    f = static_cast<float>((1.0 - blend) * scaled + blend * f);
  }
}

// The component whose wave turns `rotations` times within the original context.
double YarnComponent(const RopeSpec& spec, double rotations) {
  const double original = static_cast<double>(spec.original_max_positions);
  return spec.rotary_dim * std::log(original / (rotations * kTwoPi)) / (2.0 * std::log(spec.theta));
}

void ScaleYarn(const RopeSpec& spec, std::vector<float>& frequency) {
  double low = YarnComponent(spec, spec.beta_fast);
  double high = YarnComponent(spec, spec.beta_slow);
  if (spec.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(spec.rotary_dim - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequency.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequency[i] = static_cast<float>(frequency[i] / spec.factor * ramp + frequency[i] * (1.0 - ramp));
  }
}

}  // namespace

Rope::Rope(const RopeSpec& spec) : spec_(spec), frequency_(BaseFrequency(spec.theta, spec.rotary_dim)) {
  switch (spec_.kind) {
    case RopeSpec::Kind::kDefault:
    case RopeSpec::Kind::kDynamicNtk:
      break;
    case RopeSpec::Kind::kLinear:
      for (float& f : frequency_) f = static_cast<float>(f / spec_.factor);
      break;
    case RopeSpec::Kind::kYarn:
      ScaleYarn(spec_, frequency_);
      break;
    case RopeSpec::Kind::kLlama3:
      ScaleLlama3(spec_, frequency_);
      break;
  }
}

void Rope::DynamicFrequency(int64_t length, std::span<float> out) const {
  if (spec_.kind != RopeSpec::Kind::kDynamicNtk || length <= spec_.original_max_positions) {
    std::copy(frequency_.begin(), frequency_.end(), out.begin());
    return;
  }
  const double dim = spec_.rotary_dim;
  const double stretch =
      spec_.factor * static_cast<double>(length) / static_cast<double>(spec_.original_max_positions) -
      (spec_.factor - 1.0);
  const double theta = spec_.theta * std::pow(stretch, dim / (dim - 2.0));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(1.0 / std::pow(theta, 2.0 * static_cast<double>(i) / dim));
  }
}

void Rope::Fill(int64_t begin, int64_t end, float* cos, float* sin) const {
  const size_t half = frequency_.size();
  const float factor = attention_factor();
  for (int64_t at = begin; at < end; ++at) {
    const float position = static_cast<float>(at);
    float* row_cos = cos + static_cast<size_t>(at - begin) * half;
    float* row_sin = sin + static_cast<size_t>(at - begin) * half;
    // row_sin holds the frequencies until it is overwritten: a step allocates nothing.
    DynamicFrequency(at + 1, {row_sin, half});
    for (size_t i = 0; i < half; ++i) {
      const float angle = position * row_sin[i];
      row_cos[i] = std::cos(angle) * factor;
      row_sin[i] = std::sin(angle) * factor;
    }
  }
}

}  // namespace guildhall
