#include "model/decoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "model/decoder_impl.h"
#include "model/weight_loader.h"

namespace guildhall {
namespace {

KvFormat KvFormatOf(const ModelSpec& spec, std::optional<KvFormat> asked) {
  return asked.value_or(DefaultKvFormat(spec.dtype));
}

std::vector<BaseExperts> BaseExpertsOf(const DecoderWeights& weights) {
  std::vector<BaseExperts> base;
  for (const LayerWeights& layer : weights.layers) {
    base.push_back({layer.experts, {}});
    if (!layer.shared.down.empty()) base.back().shared.push_back(layer.shared);
  }
  return base;
}

}  // namespace

Decoder::Impl::Impl(const ModelSpec& model, Backend& ops, const DecoderOptions& opts, DecoderWeights packed,
                    std::shared_ptr<const ExpertTables> tables, Activations activations, RopeTable angles,
                    KvCache cache)
    : spec(model),
      backend(ops),
      options(opts),
      shape(StepShape::Of(spec, opts.max_rows, opts.max_outputs, KvFormatOf(spec, opts.kv_format))),
      weights(std::move(packed)),
      base_tables(std::move(tables)),
      workspace(std::make_shared<StepWorkspace>(ops.memory())),
      act(std::move(activations)),
      rope(std::move(angles)),
      kv(std::move(cache)),
      adapters(spec.layers.size(), *base_tables),
      inputs(opts.max_rows, opts.max_outputs) {
  routes.reserve(spec.layers.size());
}

size_t KvBytesPerBlock(const ModelSpec& spec, const Backend& backend, std::optional<KvFormat> kv_format) {
  const StepShape shape = StepShape::Of(spec, 1, 1, KvFormatOf(spec, kv_format));
  return spec.layers.size() * backend.KvBlockBytes(shape.kv);
}

DecoderMemory DecoderMemoryOf(const WeightSource& source, const Backend& backend,
                              const DecoderOptions& options) {
  const ModelSpec& spec = source.spec();
  const StepShape shape =
      StepShape::Of(spec, options.max_rows, options.max_outputs, KvFormatOf(spec, options.kv_format));
  const size_t step = Activations::Bytes(spec, shape) + backend.ScratchBytes(shape.Limits(spec)) +
                      RopeTable::Bytes(spec.attention.rope, spec.max_positions);
  return {PackedWeightBytes(source, backend, options.formats), step};
}

Decoder::Decoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Decoder::~Decoder() = default;

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Load(const WeightSource& source, Backend& backend,
                                                       const DecoderOptions& options,
                                                       const ProgressFunction& progress) {
  GH_ASSIGN_OR_RETURN(DecoderWeights weights, LoadWeights(source, backend, options.formats, progress));
  return Over(source.spec(), std::move(weights), backend, options);
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::LoadPacked(const WeightSource& model,
                                                             const PackedLoad& packed, Backend& backend,
                                                             const DecoderOptions& options,
                                                             const ProgressFunction& progress) {
  GH_ASSIGN_OR_RETURN(DecoderWeights weights, LoadPackedWeights(model, packed, backend, progress));
  return Over(model.spec(), std::move(weights), backend, options);
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Over(const ModelSpec& spec, DecoderWeights weights,
                                                       Backend& backend, const DecoderOptions& options) {
  GH_CHECK_GT(options.max_rows, 0);
  GH_CHECK_GT(options.max_outputs, 0);
  GH_CHECK_GT(options.kv_blocks, 0);
  DeviceMemory& memory = backend.memory();
  const StepShape shape =
      StepShape::Of(spec, options.max_rows, options.max_outputs, KvFormatOf(spec, options.kv_format));
  const SlotTable slots(BaseExpertsOf(weights));
  GH_ASSIGN_OR_RETURN(auto tables, MakeExpertTables(slots.Tables(), memory));
  GH_ASSIGN_OR_RETURN(Activations act, Activations::Allocate(spec, shape, memory));
  GH_ASSIGN_OR_RETURN(RopeTable rope, RopeTable::Allocate(spec.attention.rope, spec.max_positions, memory));
  GH_ASSIGN_OR_RETURN(KvCache kv, KvCache::Reserve(memory.pages(), options.kv_blocks,
                                                   backend.KvBlockBytes(shape.kv), spec.layers.size()));
  GH_RETURN_IF_ERROR(kv.Resize(options.kv_blocks));
  GH_RETURN_IF_ERROR(backend.Prepare(shape.Limits(spec)));
  auto impl = std::make_unique<Impl>(spec, backend, options, std::move(weights), std::move(tables),
                                     std::move(act), std::move(rope), std::move(kv));
  const auto twin = [&](float* home, int64_t columns) {
    return memory.MakeTwin(reinterpret_cast<std::byte*>(home),
                           static_cast<size_t>(options.max_outputs * columns) * sizeof(float));
  };
  GH_ASSIGN_OR_RETURN(impl->logits_twin, twin(impl->act.logits, spec.vocabulary));
  GH_ASSIGN_OR_RETURN(impl->hidden_twin, twin(impl->act.hidden, spec.hidden));
  GH_RETURN_IF_ERROR(impl->workspace->Reserve({.slots = slots.max_slots(), .rows = 0, .columns = 0}));
  return std::unique_ptr<Decoder>(new Decoder(std::move(impl)));
}

const ModelSpec& Decoder::spec() const {
  return impl_->spec;
}
int64_t Decoder::vocabulary() const {
  return impl_->spec.vocabulary;
}
int64_t Decoder::max_positions() const {
  return impl_->spec.max_positions;
}
int64_t Decoder::max_rows() const {
  return impl_->options.max_rows;
}
int64_t Decoder::max_outputs() const {
  return impl_->options.max_outputs;
}
int64_t Decoder::kv_blocks() const {
  return impl_->options.kv_blocks;
}
int64_t Decoder::kv_release_blocks() const {
  return impl_->kv.page_blocks();
}

absl::Status Decoder::GrowKvBlocks(int64_t first, int64_t count) {
  GH_CHECK_LE(first + count, kv_blocks());
  return impl_->kv.Resize(first + count);
}

void Decoder::ReleaseKvBlocks(int64_t first, int64_t count) {
  GH_CHECK_GE(first, 0);
  GH_CHECK_LE(first + count, kv_blocks());
  const absl::Status released = impl_->kv.Resize(first);
  GH_CHECK(released.ok());
}

std::vector<BaseExperts> Decoder::base_experts() const {
  return BaseExpertsOf(impl_->weights);
}

const std::shared_ptr<StepWorkspace>& Decoder::workspace() const {
  return impl_->workspace;
}

const DecoderWeights& Decoder::weights() const {
  return impl_->weights;
}

}  // namespace guildhall
