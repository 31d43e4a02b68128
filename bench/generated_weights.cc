#include "bench/generated_weights.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "base/check.h"
#include "checkpoint/weight_names.h"

namespace guildhall {
namespace {

constexpr size_t kPeriod = (size_t{1} << 20) + 7;  // odd against every width

void AddAll(const std::vector<ExpectedTensor>& tensors, std::map<WeightKey, std::vector<int64_t>>& shapes) {
  for (const ExpectedTensor& tensor : tensors) shapes[tensor.key] = tensor.shape;
}

// Norms around one; matrices scaled so that a product keeps its input's size; biases small.
float Scale(const std::vector<int64_t>& shape) {
  return shape.size() < 2 ? 0.1f : std::sqrt(3.0f / static_cast<float>(shape.back()));
}

bool IsNorm(WeightRole role) {
  switch (role) {
    case WeightRole::kFinalNorm:
    case WeightRole::kInputNorm:
    case WeightRole::kPostAttentionNorm:
    case WeightRole::kQNorm:
    case WeightRole::kKNorm:
    case WeightRole::kQANorm:
    case WeightRole::kKvANorm:
      return true;
    default:
      return false;
  }
}

}  // namespace

GeneratedWeights::GeneratedWeights(ModelSpec spec) : spec_(std::move(spec)), noise_(kPeriod) {
  GH_CHECK(spec_.dtype == DType::kF32 || spec_.dtype == DType::kBF16);
  const Family* family = FindFamily(spec_.family);
  GH_CHECK(family != nullptr);
  const WeightNames names(spec_, *family, "model.");
  AddAll({names.Embedding(), names.Head(), names.FinalNorm()}, shapes_);
  for (int layer = 0; layer < static_cast<int>(spec_.layers.size()); ++layer) {
    AddAll(names.Layer(layer), shapes_);
    if (!spec_.layers[static_cast<size_t>(layer)].moe) continue;
    for (int expert = 0; expert < spec_.gate.experts; ++expert) {
      const auto tensors = names.Expert(layer, expert);
      AddAll({tensors.begin(), tensors.end()}, shapes_);
    }
  }
  std::mt19937 random(11);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  for (float& value : noise_) value = uniform(random);
  for (const auto& [key, shape] : shapes_) {
    total_bytes_ += TensorView{spec_.dtype, shape, nullptr}.Bytes();
  }
}

absl::StatusOr<TensorView> GeneratedWeights::Read(const WeightKey& key,
                                                  std::vector<std::byte>& scratch) const {
  const auto found = shapes_.find(key);
  GH_CHECK(found != shapes_.end());
  return ReadRows(key, 0, found->second[0], scratch);
}

absl::StatusOr<TensorView> GeneratedWeights::ReadRows(const WeightKey& key, int64_t begin, int64_t end,
                                                      std::vector<std::byte>& scratch) const {
  const auto found = shapes_.find(key);
  GH_CHECK(found != shapes_.end());
  const TensorView whole{spec_.dtype, found->second, nullptr};
  TensorView view = whole;
  view.shape[0] = end - begin;
  scratch.resize(view.Bytes());
  view.data = scratch.data();
  const float scale = Scale(found->second), offset = IsNorm(key.role) ? 1.0f : 0.0f;
  const size_t elements = static_cast<size_t>(view.Elements());
  const int64_t skipped = begin * (whole.Elements() / found->second[0]);
  size_t at = static_cast<size_t>(
      (static_cast<uint64_t>(key.role) * 1000003u + static_cast<uint64_t>(key.layer + 1) * 7919u +
       static_cast<uint64_t>(key.expert + 1) * 104729u + static_cast<uint64_t>(skipped)) %
      kPeriod);
  for (size_t i = 0; i < elements; ++i, at = at + 1 == kPeriod ? 0 : at + 1) {
    const float value = offset + scale * noise_[at];
    if (spec_.dtype == DType::kF32) {
      std::memcpy(&scratch[i * 4], &value, 4);
    } else {
      const uint16_t bits = FloatToBF16(value);
      std::memcpy(&scratch[i * 2], &bits, 2);
    }
  }
  return view;
}

}  // namespace guildhall
