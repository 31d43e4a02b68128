// Random weights of a shape, made as they are read.
#pragma once

#include <map>
#include <vector>

#include "checkpoint/weight_source.h"

namespace guildhall {

// Uniform values whose scale keeps activations near one, all of the spec's dtype (norms and biases too).
class GeneratedWeights final : public WeightSource {
 public:
  explicit GeneratedWeights(ModelSpec spec);

  const ModelSpec& spec() const override { return spec_; }
  bool Has(const WeightKey& key) const override { return shapes_.contains(key); }
  DType dtype(const WeightKey&) const override { return spec_.dtype; }
  absl::StatusOr<TensorView> Read(const WeightKey& key, std::vector<std::byte>& scratch) const override;
  absl::StatusOr<TensorView> ReadRows(const WeightKey& key, int64_t begin, int64_t end,
                                      std::vector<std::byte>& scratch) const override;
  size_t TotalBytes() const override { return total_bytes_; }

 private:
  ModelSpec spec_;
  std::map<WeightKey, std::vector<int64_t>> shapes_;
  std::vector<float> noise_;  // one long period, read from a place that depends on the key
  size_t total_bytes_ = 0;
};

}  // namespace guildhall
