#include "model/decoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/check.h"
#include "base/status.h"
#include "model/rope.h"
#include "model/step.h"
#include "model/weight_loader.h"

namespace guildhall {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

KvFormat KvFormatOf(const ModelSpec& spec, std::optional<KvFormat> asked) {
  return asked.value_or(DefaultKvFormat(spec.dtype));
}

}  // namespace

struct Decoder::Impl {
  Impl(const ModelSpec& model, Backend& ops, const DecoderOptions& opts)
      : spec(model),
        backend(ops),
        options(opts),
        shape(StepShape::Of(spec, opts.max_rows, opts.max_outputs, KvFormatOf(spec, opts.kv_format))),
        rope(spec.attention.rope),
        adapters(opts.max_rows) {}

  std::byte* LayerCache(size_t layer) {
    return kv.data() + layer * static_cast<size_t>(options.kv_blocks) * backend.KvBlockBytes(shape.kv);
  }

  void Layers(Step& step);
  std::span<const float> Logits(const Batch& batch);

  const ModelSpec spec;
  Backend& backend;
  const DecoderOptions options;
  const StepShape shape;
  const Rope rope;
  DecoderWeights weights;
  Activations act;
  StepAdapters adapters;
  Buffer kv;  // (layers, kv_blocks, KvBlockBytes)
};

size_t KvBytesPerBlock(const ModelSpec& spec, const Backend& backend, std::optional<KvFormat> kv_format) {
  const StepShape shape = StepShape::Of(spec, 1, 1, KvFormatOf(spec, kv_format));
  return spec.layers.size() * backend.KvBlockBytes(shape.kv);
}

DecoderMemory DecoderMemoryOf(const WeightSource& source, const Backend& backend,
                              const DecoderOptions& options) {
  const ModelSpec& spec = source.spec();
  const StepShape shape =
      StepShape::Of(spec, options.max_rows, options.max_outputs, KvFormatOf(spec, options.kv_format));
  return {PackedWeightBytes(source, backend, options.formats), Activations::Bytes(spec, shape)};
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
  auto impl = std::make_unique<Impl>(spec, backend, options);
  impl->weights = std::move(weights);
  GH_ASSIGN_OR_RETURN(impl->act, Activations::Allocate(impl->spec, impl->shape));
  const size_t kv_bytes =
      static_cast<size_t>(options.kv_blocks) * KvBytesPerBlock(impl->spec, backend, options.kv_format);
  GH_ASSIGN_OR_RETURN(impl->kv, Buffer::Allocate(kv_bytes, "KV cache"));
  GH_RETURN_IF_ERROR(backend.Prepare(impl->shape.Limits(impl->spec)));
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
  return std::max<int64_t>(1, static_cast<int64_t>(kHugePage / impl_->backend.KvBlockBytes(impl_->shape.kv)));
}

void Decoder::ReleaseKvBlocks(int64_t first, int64_t count) {
  GH_CHECK_GE(first, 0);
  GH_CHECK_LE(first + count, kv_blocks());
  const size_t block = impl_->backend.KvBlockBytes(impl_->shape.kv);
  for (size_t layer = 0; layer < impl_->spec.layers.size(); ++layer) {
    const auto begin = static_cast<size_t>(impl_->LayerCache(layer) - impl_->kv.data());
    impl_->kv.Release(begin + static_cast<size_t>(first) * block, static_cast<size_t>(count) * block);
  }
}

std::vector<std::span<const FfnWeights>> Decoder::base_experts() const {
  std::vector<std::span<const FfnWeights>> experts;
  for (const LayerWeights& layer : impl_->weights.layers) experts.emplace_back(layer.experts);
  return experts;
}

const DecoderWeights& Decoder::weights() const {
  return impl_->weights;
}

void Decoder::Impl::Layers(Step& step) {
  auto norm = [&](const float* weight) {
    backend.RmsNorm({.x = act.residual,
                     .weight = weight,
                     .y = act.normed,
                     .rows = step.batch.rows(),
                     .groups = 1,
                     .width = spec.hidden,
                     .x_stride = spec.hidden,
                     .y_stride = spec.hidden,
                     .eps = spec.norm_eps});
  };
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    step.layer = i;
    norm(layer.input_norm);
    AttentionLayer(step, layer, spec.layers[i], LayerCache(i));
    norm(layer.post_attention_norm);
    FeedForwardLayer(step, layer);
  }
}

std::span<const float> Decoder::Impl::Logits(const Batch& batch) {
  const int64_t outputs = static_cast<int64_t>(batch.logit_rows.size());
  if (outputs == 0) return {};
  backend.GatherRows({.x = act.residual,
                      .row = batch.logit_rows.data(),
                      .y = act.outputs,
                      .rows = outputs,
                      .width = spec.hidden});
  backend.RmsNorm({.x = act.outputs,
                   .weight = weights.final_norm,
                   .y = act.outputs,
                   .rows = outputs,
                   .groups = 1,
                   .width = spec.hidden,
                   .x_stride = spec.hidden,
                   .y_stride = spec.hidden,
                   .eps = spec.norm_eps});
  backend.MatMul({.x = act.outputs,
                  .w = weights.head,
                  .y = act.logits,
                  .rows = outputs,
                  .x_stride = spec.hidden,
                  .y_stride = spec.vocabulary,
                  .low_rank = adapters.ForHead()});
  return {act.logits, static_cast<size_t>(outputs * spec.vocabulary)};
}

std::span<const float> Decoder::Forward(const Batch& batch) {
  Impl& m = *impl_;
  GH_CHECK_LE(batch.rows(), m.options.max_rows);
  GH_CHECK_LE(static_cast<int64_t>(batch.logit_rows.size()), m.options.max_outputs);
  m.adapters.Begin(batch);
  Step step{m.backend, m.spec, m.shape, batch, m.act, m.adapters};
  m.backend.Embed({.tokens = batch.tokens.data(),
                   .table = m.weights.embedding,
                   .dtype = m.weights.embedding_dtype,
                   .y = m.act.residual,
                   .rows = batch.rows(),
                   .hidden = m.spec.hidden,
                   .low_rank = m.adapters.ForEmbedding()});
  m.rope.Fill(batch.positions, m.act.cos, m.act.sin);
  m.Layers(step);
  return m.Logits(batch);
}

}  // namespace guildhall
