#include "bench/generated_adapter.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

#include "base/dtype.h"
#include "checkpoint/attention_layout.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

constexpr size_t kNoise = size_t{1} << 20;

class GeneratedAdapter final : public AdapterSource {
 public:
  GeneratedAdapter(const ModelSpec& spec, const GeneratedAdapterShape& shape, uint64_t seed)
      : spec_(spec), random_(seed), noise_(kNoise) {
    for (uint16_t& value : noise_) {
      value = FloatToBF16(std::uniform_real_distribution<float>(-0.02f, 0.02f)(random_));
    }
    if (!shape.experts_per_layer.empty()) AddReplaced(shape);
    if (shape.rank > 0) AddLowRank(shape);
    manifest_.kind = shape.rank > 0 ? "lora" : "esft";
    manifest_.fingerprint = std::to_string(seed);
  }

  const AdapterManifest& manifest() const override { return manifest_; }

  absl::StatusOr<TensorView> ReadReplaced(const WeightKey& key, Scratch& scratch) const override {
    const WeightShape shape = ShapeOf(spec_, key);
    return ReadReplacedRows(key, 0, shape.out, scratch);
  }

  absl::StatusOr<TensorView> ReadReplacedRows(const WeightKey& key, int64_t begin, int64_t end,
                                              Scratch& scratch) const override {
    const int64_t in = ShapeOf(spec_, key).in;
    return Fill(end - begin, in, static_cast<size_t>(key.layer * 977 + key.expert * 31 + begin * in),
                scratch);
  }

  absl::StatusOr<LowRankTensors> ReadLowRank(const LowRankChange& change, Scratch& a,
                                             Scratch& b) const override {
    const auto at = static_cast<size_t>(change.key.layer * 7 + change.key.expert + 1);
    LowRankTensors tensors;
    tensors.a = Fill(change.rank, change.in, at, a);
    tensors.b = Fill(change.out, change.rank, at + 77, b);
    return tensors;
  }

  absl::Status CheckUnchanged() const override { return absl::OkStatus(); }

 private:
  void AddReplaced(const GeneratedAdapterShape& shape) {
    std::vector<int> ids(static_cast<size_t>(spec_.gate.experts));
    std::iota(ids.begin(), ids.end(), 0);
    size_t moe = 0;
    for (size_t l = 0; l < spec_.layers.size(); ++l) {
      if (!spec_.layers[l].moe) continue;
      std::shuffle(ids.begin(), ids.end(), random_);
      const auto count = static_cast<size_t>(shape.experts_per_layer[moe++ % shape.experts_per_layer.size()]);
      std::vector<int> chosen(ids.begin(),
                              ids.begin() + static_cast<std::ptrdiff_t>(std::min(count, ids.size())));
      std::sort(chosen.begin(), chosen.end());
      for (const int expert : chosen) {
        manifest_.replaced.push_back({.layer = static_cast<int>(l), .expert = expert});
        for (const WeightRole role :
             {WeightRole::kExpertGate, WeightRole::kExpertUp, WeightRole::kExpertDown}) {
          const WeightShape s = ShapeOf(spec_, {role, static_cast<int>(l), expert});
          manifest_.file_bytes += static_cast<uint64_t>(s.out * s.in) * sizeof(uint16_t);
        }
      }
    }
  }

  void Add(WeightRole role, int layer, int expert, int64_t rank) {
    const WeightKey key{role, layer, expert};
    const WeightShape shape = ShapeOf(spec_, key);
    manifest_.low_rank.push_back(
        {.key = key, .module = "", .rank = rank, .in = shape.in, .out = shape.out, .scale = 2.0f});
    manifest_.file_bytes += static_cast<uint64_t>(rank * (shape.in + shape.out)) * sizeof(uint16_t);
  }

  void AddLowRank(const GeneratedAdapterShape& shape) {
    const AttentionLayout layout(spec_);
    for (size_t l = 0; l < spec_.layers.size(); ++l) {
      const int layer = static_cast<int>(l);
      for (const AttentionMatrix& matrix : layout.matrices()) {
        if (shape.attention) Add(matrix.weight, layer, -1, shape.rank);
      }
      if (!shape.experts || !spec_.layers[l].moe) continue;
      for (int expert = 0; expert < spec_.gate.experts; ++expert) {
        for (const WeightRole role :
             {WeightRole::kExpertGate, WeightRole::kExpertUp, WeightRole::kExpertDown}) {
          Add(role, layer, expert, shape.rank);
        }
      }
    }
    std::sort(manifest_.low_rank.begin(), manifest_.low_rank.end(),
              [](const LowRankChange& a, const LowRankChange& b) { return a.key < b.key; });
  }

  // (rows, columns) of noise from a place that `at` chooses.
  TensorView Fill(int64_t rows, int64_t columns, size_t at, Scratch& scratch) const {
    const auto count = static_cast<size_t>(rows * columns);
    scratch.resize(count * sizeof(uint16_t));
    auto* values = reinterpret_cast<uint16_t*>(scratch.data());
    size_t from = at * 7919 % kNoise;
    for (size_t done = 0; done < count;) {
      const size_t piece = std::min(count - done, kNoise - from);
      std::copy_n(noise_.begin() + static_cast<std::ptrdiff_t>(from), piece, values + done);
      done += piece;
      from = 0;
    }
    return {DType::kBF16, {rows, columns}, scratch.data()};
  }

  const ModelSpec spec_;
  std::mt19937_64 random_;
  std::vector<uint16_t> noise_;
  AdapterManifest manifest_;
};

}  // namespace

std::unique_ptr<AdapterSource> MakeGeneratedAdapter(const ModelSpec& spec, const GeneratedAdapterShape& shape,
                                                    uint64_t seed) {
  return std::make_unique<GeneratedAdapter>(spec, shape, seed);
}

}  // namespace guildhall
