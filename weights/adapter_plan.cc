#include "weights/adapter_plan.h"

#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/low_rank_plan.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kRangesOfLayer = 4;

// Which network of the adapter's own vectors a job fills.
struct FfnPlace {
  size_t layer = 0;
  size_t index = 0;  // among the layer's replaced experts
  bool shared = false;

  FfnWeights& In(AdapterWeights& weights) const {
    LayerAdapter& adapter = weights.layers[layer];
    return shared ? adapter.shared : adapter.replaced[index];
  }
};

absl::StatusOr<TensorView> Read(PackContext& context, const ModelSpec& spec, const WeightKey& key,
                                size_t scratch) {
  if (context.stop()) return absl::CancelledError("the load was cancelled");
  GH_ASSIGN_OR_RETURN(TensorView view, context.source.ReadReplaced(key, context.scratch[scratch]));
  const WeightShape shape = ShapeOf(spec, key);
  GH_CHECK(view.shape == std::vector<int64_t>({shape.out, shape.in}));
  return view;
}

class Planner {
 public:
  Planner(const ModelSpec& spec, const Backend& backend, const AdapterManifest& manifest,
          const AdapterPlanOptions& options)
      : spec_(spec), backend_(backend), manifest_(manifest), options_(options) {
    plan_.weights.layers.resize(spec.layers.size());
  }

  absl::StatusOr<AdapterPlan> Make() {
    for (const ReplacedFfn& ffn : manifest_.replaced) GH_RETURN_IF_ERROR(AddReplaced(ffn));
    if (options_.padded_experts > 0 && plan_.experts > 0) GH_RETURN_IF_ERROR(Pad(options_.padded_experts));
    std::vector<LowRankGroup> groups = GroupLowRank(spec_, manifest_.low_rank);
    ShapeLowRank(spec_, backend_, groups, plan_.weights);
    for (LowRankGroup& group : groups) AddLowRank(std::move(group));
    for (const PackJob& job : plan_.jobs) plan_.tensor_bytes += job.bytes;
    plan_.layers = static_cast<int>(touched_.size());
    plan_.low_rank_modules = static_cast<int>(manifest_.low_rank.size());
    return std::move(plan_);
  }

 private:
  static size_t RangeOf(size_t layer, bool shared, bool down) {
    return layer * kRangesOfLayer + (shared ? 2 : 0) + (down ? 1 : 0);
  }

  size_t AddRun(size_t range, size_t bytes) {
    plan_.runs.push_back({range, bytes, nullptr});
    return plan_.runs.size() - 1;
  }

  absl::Status AddReplaced(const ReplacedFfn& ffn) {
    GH_CHECK(ffn.layer >= 0 && static_cast<size_t>(ffn.layer) < spec_.layers.size());
    const auto layer = static_cast<size_t>(ffn.layer);
    GH_CHECK(spec_.layers[layer].moe);
    LayerAdapter& adapter = plan_.weights.layers[layer];
    const FfnPlace place{layer, adapter.replaced.size(), ffn.expert < 0};
    if (place.shared && spec_.mlp_bias) {
      return absl::FailedPreconditionError(StrCat("layer ", ffn.layer,
                                                  ": replaced shared experts are not served for a model whose"
                                                  " shared experts have biases; serve it as its own base"));
    }
    if (!place.shared) {
      GH_CHECK_LT(ffn.expert, spec_.gate.experts);
      if (!adapter.experts.empty()) GH_CHECK_LT(adapter.experts.back(), ffn.expert);
      adapter.experts.push_back(ffn.expert);
      adapter.replaced.emplace_back();
      ++plan_.experts;
    }
    touched_.insert(ffn.layer);
    AddGateUp(ffn, place);
    AddDown(ffn, place);
    return absl::OkStatus();
  }

  // As the base has its own, else the file's: but a base of float32 computes with float32 activations, which
  // products with bf16 weights might round, and its experts are widened.
  WeightFormat FormatIn(const FfnPlace& place, DType dtype) const {
    const auto& asked = place.shared ? options_.formats.shared_experts : options_.formats.experts;
    return asked.value_or(FormatOf(spec_.dtype == DType::kF32 ? DType::kF32 : dtype));
  }

  void AddGateUp(const ReplacedFfn& ffn, const FfnPlace& place) {
    const WeightKey gate{place.shared ? WeightRole::kSharedGate : WeightRole::kExpertGate, ffn.layer,
                         ffn.expert};
    const WeightKey up{place.shared ? WeightRole::kSharedUp : WeightRole::kExpertUp, ffn.layer, ffn.expert};
    const WeightFormat format = FormatIn(place, ffn.gate == ffn.up ? ffn.gate : DType::kF32);
    const PackShape shape = PackShape::GateUp(format, ShapeOf(spec_, gate).out, spec_.hidden);
    const size_t bytes = backend_.PackedBytes(shape);
    const size_t run = AddRun(RangeOf(place.layer, place.shared, false), bytes);
    plan_.jobs.push_back(
        {bytes, [&spec = spec_, &backend = backend_, gate, up, shape, run, place](PackContext& context) {
           GH_ASSIGN_OR_RETURN(const TensorView gate_view, Read(context, spec, gate, 0));
           GH_ASSIGN_OR_RETURN(const TensorView up_view, Read(context, spec, up, 1));
           const TensorView parts[] = {gate_view, up_view};
           backend.Pack(shape, parts, context.runs[run].begin);
           place.In(context.weights).gate_up = shape.At(context.runs[run].begin);
           return absl::OkStatus();
         }});
  }

  void AddDown(const ReplacedFfn& ffn, const FfnPlace& place) {
    const WeightKey key{place.shared ? WeightRole::kSharedDown : WeightRole::kExpertDown, ffn.layer,
                        ffn.expert};
    const WeightFormat format = FormatIn(place, ffn.down);
    const PackShape shape = PackShape::Stack(format, spec_.hidden, ShapeOf(spec_, key).in);
    const size_t bytes = backend_.PackedBytes(shape);
    const size_t run = AddRun(RangeOf(place.layer, place.shared, true), bytes);
    plan_.jobs.push_back(
        {bytes, [&spec = spec_, &backend = backend_, key, shape, run, place](PackContext& context) {
           GH_ASSIGN_OR_RETURN(const TensorView down, Read(context, spec, key, 0));
           backend.Pack(shape, {&down, 1}, context.runs[run].begin);
           place.In(context.weights).down = shape.At(context.runs[run].begin);
           return absl::OkStatus();
         }});
  }

  // The baseline: places that nothing fills, as in a tensor with a fixed number of rows per adapter.
  absl::Status Pad(int places) {
    const WeightFormat format = options_.formats.experts.value_or(FormatOf(spec_.dtype));
    for (size_t layer = 0; layer < spec_.layers.size(); ++layer) {
      if (!spec_.layers[layer].moe) continue;
      const size_t replaced = plan_.weights.layers[layer].experts.size();
      if (replaced > static_cast<size_t>(places)) {
        return absl::FailedPreconditionError(StrCat("layer ", layer, " has ", replaced,
                                                    " replaced experts, and padding leaves room for ", places,
                                                    ": raise padded_experts"));
      }
      for (size_t i = replaced; i < static_cast<size_t>(places); ++i) {
        AddRun(RangeOf(layer, false, false),
               backend_.PackedBytes(PackShape::GateUp(format, spec_.expert_width, spec_.hidden)));
        AddRun(RangeOf(layer, false, true),
               backend_.PackedBytes(PackShape::Stack(format, spec_.hidden, spec_.expert_width)));
      }
    }
    return absl::OkStatus();
  }

  // All low-rank bytes of a layer lie in one run: there may be thousands of small tensors.
  void AddLowRank(LowRankGroup group) {
    const int layer = group.target.layer;
    if (layer >= 0) touched_.insert(layer);
    const auto take = [&](size_t bytes) {
      const auto [entry, fresh] = low_rank_runs_.emplace(layer, plan_.runs.size());
      if (fresh) AddRun(spec_.layers.size() * kRangesOfLayer, 0);
      Run& run = plan_.runs[entry->second];
      const PackPlace place{entry->second, run.bytes};
      run.bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
      return place;
    };
    plan_.jobs.push_back(LowRankJob(spec_, backend_, std::move(group), take));
  }

  const ModelSpec& spec_;
  const Backend& backend_;
  const AdapterManifest& manifest_;
  const AdapterPlanOptions& options_;
  AdapterPlan plan_;
  std::set<int> touched_;
  std::map<int, size_t> low_rank_runs_;  // layer -> run
};

}  // namespace

size_t AdapterRanges(const ModelSpec& spec) {
  return spec.layers.size() * kRangesOfLayer + 1;
}

absl::StatusOr<AdapterPlan> PlanAdapter(const ModelSpec& spec, const Backend& backend,
                                        const AdapterManifest& manifest, const AdapterPlanOptions& options) {
  return Planner(spec, backend, manifest, options).Make();
}

}  // namespace guildhall
