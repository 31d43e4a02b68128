#include "bench/fragmentation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <utility>

#include "base/check.h"
#include "bench/shapes.h"
#include "weights/adapter_memory.h"
#include "weights/adapter_plan.h"

namespace guildhall {
namespace {

constexpr size_t kPageBytes = size_t{2} << 20;

// Addresses that nothing backs: only the accounts are kept, by the pool.
class UnbackedPages final : public PageMemory {
 public:
  size_t page_bytes() const override { return kPageBytes; }
  absl::StatusOr<std::byte*> Reserve(size_t bytes) override {
    next_ += bytes;
    return reinterpret_cast<std::byte*>(next_ - bytes);
  }
  void Unreserve(std::byte*, size_t) override {}
  absl::Status Map(std::byte*, size_t) override { return absl::OkStatus(); }
  void Unmap(std::byte*, size_t) override {}

 private:
  uintptr_t next_ = uintptr_t{1} << 40;
};

// Replaced experts per MoE layer: the most, and the mean over the layers.
struct PublishedCounts {
  int most;
  double mean;
};
constexpr PublishedCounts kPublished[] = {{12, 7.04}, {9, 6.12},  {12, 9.50}, {8, 7.12},  {11, 7.73},
                                          {8, 5.15},  {12, 7.35}, {10, 6.58}, {13, 4.69}, {6, 3.85}};

// Counts with the published maximum in one layer and the rest of the published sum spread over the others.
AdapterManifest ManifestOf(const ModelSpec& spec, int adapter) {
  const PublishedCounts& published = kPublished[static_cast<size_t>(adapter) % std::size(kPublished)];
  const auto layers = static_cast<int>(std::count_if(spec.layers.begin(), spec.layers.end(),
                                                     [](const LayerSpec& layer) { return layer.moe; }));
  const int rest = static_cast<int>(std::lround(published.mean * layers)) - published.most;
  AdapterManifest manifest;
  int seen = 0;
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()); ++layer) {
    if (!spec.layers[static_cast<size_t>(layer)].moe) continue;
    const int index = seen++;
    const int count =
        index == 0 ? published.most : index * rest / (layers - 1) - (index - 1) * rest / (layers - 1);
    const int first = (adapter * 7 + layer * 5) % (spec.gate.experts - count);
    for (int e = first; e < first + count; ++e) {
      manifest.replaced.push_back({layer, e, DType::kBF16, DType::kBF16, DType::kBF16});
    }
  }
  return manifest;
}

// One mode: adapters one after another, all resident.
class Filling {
 public:
  Filling(const ModelSpec& spec, const Backend& backend, int padded_experts)
      : spec_(spec),
        backend_(backend),
        padded_experts_(padded_experts),
        memory_(pages_, std::make_shared<ByteBudget>(std::numeric_limits<uint64_t>::max()),
                AdapterRanges(spec)) {}
  ~Filling() {
    for (const std::vector<Run>& runs : held_) memory_.Free(runs);
  }
  Filling(const Filling&) = delete;
  Filling& operator=(const Filling&) = delete;

  // Returns the bytes of the adapter's tensors.
  uint64_t Add(const AdapterManifest& manifest) {
    absl::StatusOr<AdapterPlan> plan = PlanAdapter(spec_, backend_, manifest, nullptr, {{}, padded_experts_});
    GH_CHECK(plan.ok() && memory_.Allocate(plan->runs).ok());
    held_.push_back(std::move(plan->runs));
    return plan->tensor_bytes;
  }
  uint64_t mapped_bytes() const { return memory_.mapped_bytes(); }

 private:
  const ModelSpec& spec_;
  const Backend& backend_;
  const int padded_experts_;
  UnbackedPages pages_;
  AdapterMemory memory_;
  std::vector<std::vector<Run>> held_;
};

}  // namespace

std::vector<FragmentationRow> MeasureFragmentation(const Backend& backend, int most, int padded_experts) {
  const ModelSpec spec = ShapeSpec("deepseek-v2-lite", DType::kBF16, 0).value();
  const size_t expert_bytes =
      backend.PackedBytes(PackShape::GateUp(FormatOf(spec.dtype), spec.expert_width, spec.hidden)) +
      backend.PackedBytes(PackShape::Stack(FormatOf(spec.dtype), spec.hidden, spec.expert_width));
  const auto layers = std::count_if(spec.layers.begin(), spec.layers.end(), [](auto& l) { return l.moe; });
  const double base_experts = static_cast<double>(layers * spec.gate.experts);
  const double base_bytes = base_experts * static_cast<double>(expert_bytes);
  Filling paged(spec, backend, 0), padded(spec, backend, padded_experts);
  std::vector<FragmentationRow> rows;
  uint64_t tensor_bytes = 0;
  for (int n = 1; n <= most; ++n) {
    const AdapterManifest manifest = ManifestOf(spec, n - 1);
    tensor_bytes += paged.Add(manifest);
    padded.Add(manifest);
    FragmentationRow row{n, tensor_bytes, paged.mapped_bytes(), padded.mapped_bytes()};
    const double needed = base_bytes + static_cast<double>(tensor_bytes);
    row.paged = (base_bytes + static_cast<double>(row.paged_bytes)) / needed;
    row.padded = (base_bytes + static_cast<double>(row.padded_bytes)) / needed;
    row.formula = (base_experts + static_cast<double>(layers * n * padded_experts)) /
                  (base_experts + static_cast<double>(tensor_bytes / expert_bytes));
    rows.push_back(row);
  }
  return rows;
}

std::string FragmentationTable(const std::vector<FragmentationRow>& rows) {
  std::string text =
      "adapters  tensors GiB  paged GiB  padded GiB  paged/tensors  F paged  F padded  F by formula\n";
  constexpr double kGiB = 1 << 30;
  for (const FragmentationRow& row : rows) {
    char line[160];
    std::snprintf(line, sizeof(line), "%8d  %11.2f  %9.2f  %10.2f  %13.4f  %7.4f  %8.4f  %12.4f\n",
                  row.adapters, static_cast<double>(row.tensor_bytes) / kGiB,
                  static_cast<double>(row.paged_bytes) / kGiB, static_cast<double>(row.padded_bytes) / kGiB,
                  static_cast<double>(row.paged_bytes) / static_cast<double>(row.tensor_bytes), row.paged,
                  row.padded, row.formula);
    text += line;
  }
  return text;
}

}  // namespace guildhall
