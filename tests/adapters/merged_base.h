// A base model with adapters merged into its weights: what serving them must amount to.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/weight_source.h"
#include "weights/adapter_source.h"

namespace guildhall {

// Every weight as F32, changed by the adapters in their order, in double precision. Embedding and head are
// two tensors. `base` and the adapters outlive it.
class MergedBase final : public WeightSource {
 public:
  using Mix = std::vector<std::pair<const AdapterSource*, float>>;  // with the task's factor

  MergedBase(const WeightSource& base, Mix mix);

  const ModelSpec& spec() const override { return spec_; }
  bool Has(const WeightKey& key) const override;
  DType dtype(const WeightKey&) const override { return DType::kF32; }
  absl::StatusOr<TensorView> Read(const WeightKey& key, std::vector<std::byte>& scratch) const override;
  size_t TotalBytes() const override { return base_.TotalBytes(); }

 private:
  const WeightSource& base_;
  const Mix mix_;
  ModelSpec spec_;
};

// W + factor * (what the change adds), for W (rows, columns) as the base holds it.
void AddLowRank(const LowRankChange& change, const LowRankTensors& tensors, double factor,
                std::vector<double>& weight);

}  // namespace guildhall
