#include "tests/adapters/merged_base.h"

#include <cstring>

#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

std::vector<double> ToDoubles(const TensorView& view) {
  std::vector<double> values(static_cast<size_t>(view.Elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = LoadElement(view.data, view.dtype, static_cast<int64_t>(i));
  }
  return values;
}

bool IsReplaced(const AdapterManifest& manifest, const WeightKey& key) {
  const bool shared = key.role == WeightRole::kSharedGate || key.role == WeightRole::kSharedUp ||
                      key.role == WeightRole::kSharedDown;
  if (!shared && key.expert < 0) return false;
  for (const ReplacedFfn& ffn : manifest.replaced) {
    if (ffn.layer == key.layer && ffn.expert == (shared ? -1 : key.expert)) return true;
  }
  return false;
}

}  // namespace

void AddLowRank(const LowRankChange& change, const LowRankTensors& tensors, double factor,
                std::vector<double>& weight) {
  const std::vector<double> a = ToDoubles(tensors.a), b = ToDoubles(tensors.b);
  const size_t out = static_cast<size_t>(change.out), in = static_cast<size_t>(change.in),
               rank = static_cast<size_t>(change.rank);
  GH_CHECK_EQ(weight.size(), out * in);
  const bool embedding = change.key.role == WeightRole::kEmbedding;
  for (size_t o = 0; o < out; ++o) {
    for (size_t i = 0; i < in; ++i) {
      double& value = weight[embedding ? i * out + o : o * in + i];
      double sum = 0;
      for (size_t k = 0; k < rank; ++k) sum += b[o * rank + k] * a[k * in + i];
      if (!tensors.gain.empty()) value *= tensors.gain[o];
      value += factor * double{change.scale} * sum;
    }
  }
}

MergedBase::MergedBase(const WeightSource& base, Mix mix)
    : base_(base), mix_(std::move(mix)), spec_(base.spec()) {
  spec_.tied_embeddings = false;
  spec_.dtype = DType::kF32;
}

bool MergedBase::Has(const WeightKey& key) const {
  return base_.Has(key) || (key.role == WeightRole::kHead && base_.spec().tied_embeddings);
}

absl::StatusOr<TensorView> MergedBase::Read(const WeightKey& key, std::vector<std::byte>& scratch) const {
  const WeightKey own = base_.Has(key) ? key : WeightKey{WeightRole::kEmbedding};
  std::vector<std::byte> a, b;
  GH_ASSIGN_OR_RETURN(TensorView view, base_.Read(own, a));
  std::vector<double> weight = ToDoubles(view);
  for (const auto& [adapter, factor] : mix_) {
    if (IsReplaced(adapter->manifest(), key)) {
      GH_ASSIGN_OR_RETURN(const TensorView replaced, adapter->ReadReplaced(key, a));
      GH_CHECK(replaced.shape == view.shape);
      weight = ToDoubles(replaced);
    }
    for (const LowRankChange& change : adapter->manifest().low_rank) {
      if (!(change.key == key)) continue;
      GH_ASSIGN_OR_RETURN(const LowRankTensors tensors, adapter->ReadLowRank(change, a, b));
      AddLowRank(change, tensors, factor, weight);
    }
  }
  scratch.resize(weight.size() * sizeof(float));
  for (size_t i = 0; i < weight.size(); ++i) {
    const float value = static_cast<float>(weight[i]);
    std::memcpy(scratch.data() + i * sizeof(float), &value, sizeof(value));
  }
  view.dtype = DType::kF32;
  view.data = scratch.data();
  return view;
}

}  // namespace guildhall
