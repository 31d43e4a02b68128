// A tiny model and adapters for it whose values are a function of (seed, weight, row, column).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/model_spec.h"
#include "weights/adapter_source.h"
#include "weights/weight_manager.h"

namespace guildhall {

// Three layers, the first dense; 4 experts of width 24, 2 of them per row, and shared ones of width 40;
// hidden 32. Grouped-query attention with 2 heads, or latent attention.
ModelSpec TinySpec(bool latent = false);

// Small multiples of 1/64, exact in BF16.
float TinyValue(uint64_t seed, const WeightKey& key, int part, int64_t row, int64_t column);

// What several sources of one adapter share: switches of a test.
struct TinyWorld {
  std::atomic<int64_t> reads{0}, opens{0};
  std::atomic<int64_t> fail_at{0};  // that read, counted from 1, fails
  std::atomic<bool> changed{false};
  std::string fingerprint = "1";
  std::function<void(int64_t read)> on_read;  // may block
};

class TinySource final : public AdapterSource {
 public:
  TinySource(const ModelSpec& spec, AdapterManifest manifest, uint64_t seed, std::shared_ptr<TinyWorld> world)
      : spec_(spec), manifest_(std::move(manifest)), seed_(seed), world_(std::move(world)) {}

  const AdapterManifest& manifest() const override { return manifest_; }
  absl::StatusOr<TensorView> ReadReplaced(const WeightKey& key, Scratch& scratch) const override;
  absl::StatusOr<LowRankTensors> ReadLowRank(const LowRankChange& change, Scratch& a,
                                             Scratch& b) const override;
  absl::Status CheckUnchanged() const override;

 private:
  absl::Status CountRead() const;

  const ModelSpec& spec_;
  const AdapterManifest manifest_;
  const uint64_t seed_;
  const std::shared_ptr<TinyWorld> world_;
};

// The values of a tensor of part 0 (a replaced weight), 1 (A) or 2 (B).
TensorView TinyTensor(uint64_t seed, const WeightKey& key, int part, DType dtype, int64_t rows,
                      int64_t columns, std::vector<std::byte>& memory);

// A change of the weight with these numbers; shapes from the spec.
LowRankChange TinyChange(const ModelSpec& spec, const WeightKey& key, int64_t rank, float scale = 0.5f,
                         DType dtype = DType::kBF16, bool dora = false);

// Replaces these (layer, expert)s; expert -1: the shared ones.
AdapterManifest EsftManifest(const std::vector<std::pair<int, int>>& experts, DType dtype = DType::kBF16);
AdapterManifest LoraManifest(std::vector<LowRankChange> changes);

// Opens the adapter anew each time; `world` may be null.
OpenAdapter OpenTiny(const ModelSpec& spec, AdapterManifest manifest, uint64_t seed = 1,
                     std::shared_ptr<TinyWorld> world = nullptr);

}  // namespace guildhall
