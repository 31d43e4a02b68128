// One forward pass, for every family, over a batch that mixes sequences and tasks.
#include <algorithm>

#include "base/check.h"
#include "base/status.h"
#include "model/decoder_impl.h"

namespace guildhall {

void Decoder::Launch(const Batch& batch) {
  Impl& m = *impl_;
  GH_CHECK_LE(batch.rows(), m.options.max_rows);
  m.rows = batch.rows();
  m.observe_routes = batch.observe_routes;
  m.failure = absl::OkStatus();
  if (batch.observe_routes) m.failure = m.act.ObserveRoutes(m.spec, m.shape, m.backend.memory());
  int64_t reached = 0;
  for (const int32_t position : batch.positions) reached = std::max<int64_t>(reached, position + 1);
  if (m.failure.ok()) m.failure = m.rope.Reach(reached);
  if (!m.failure.ok()) return;

  const StepData& data = m.backend.BeginStep(m.inputs.Of(batch));
  const StepWorkspace::View workspace = m.workspace->Begin();
  m.adapters.Begin(batch, data, workspace);
  m.logits = data.logits;
  m.hiddens = data.hiddens;
  Step step{
      m.backend,           m.spec, m.shape, data, m.act, m.adapters, m.rope, m.kv, workspace.group_begin,
      batch.observe_routes};
  m.backend.Embed({.tokens = data.tokens,
                   .table = m.weights.embedding,
                   .dtype = m.weights.embedding_dtype,
                   .y = m.act.residual,
                   .rows = data.rows,
                   .hidden = m.spec.hidden,
                   .low_rank = m.adapters.Rows(kEmbeddingNumber)});
  m.Layers(step);
  m.Outputs(data);
}

void Decoder::Impl::Layers(Step& step) {
  auto norm = [&](const float* weight) {
    backend.RmsNorm({.x = act.residual,
                     .weight = weight,
                     .y = act.normed,
                     .rows = step.data.rows,
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
    AttentionLayer(step, layer, spec.layers[i]);
    norm(layer.post_attention_norm);
    FeedForwardLayer(step, layer);
  }
}

void Decoder::Impl::Outputs(const StepData& data) {
  const auto gather = [&](const int32_t* row, int64_t count, float* to) {
    backend.GatherRows({.x = act.residual, .row = row, .y = to, .rows = count, .width = spec.hidden});
    backend.RmsNorm({.x = to,
                     .weight = weights.final_norm,
                     .y = to,
                     .rows = count,
                     .groups = 1,
                     .width = spec.hidden,
                     .x_stride = spec.hidden,
                     .y_stride = spec.hidden,
                     .eps = spec.norm_eps});
  };
  if (data.hiddens > 0) gather(data.hidden_rows, data.hiddens, act.hidden);
  if (data.logits == 0) return;
  gather(data.logit_rows, data.logits, act.outputs);
  backend.MatMul({.x = act.outputs,
                  .w = weights.head,
                  .y = act.logits,
                  .rows = data.logits,
                  .x_stride = spec.hidden,
                  .y_stride = spec.vocabulary,
                  .low_rank = adapters.LogitRows(kHeadNumber)});
}

absl::Status Decoder::Impl::Download(StepOutput& output) {
  DeviceMemory& memory = backend.memory();
  const auto bring = [&](const HostTwin& twin, int64_t count, std::span<const float>& to) -> absl::Status {
    GH_RETURN_IF_ERROR(memory.Download(twin, static_cast<size_t>(count) * sizeof(float)));
    to = {twin.As<float>(), static_cast<size_t>(count)};
    return absl::OkStatus();
  };
  if (logits > 0) GH_RETURN_IF_ERROR(bring(logits_twin, logits * spec.vocabulary, output.logits));
  if (hiddens > 0) GH_RETURN_IF_ERROR(bring(hidden_twin, hiddens * spec.hidden, output.hidden));
  if (!observe_routes) return absl::OkStatus();
  if (routes_twin.data() == nullptr) {
    GH_ASSIGN_OR_RETURN(routes_twin, memory.MakeTwin(act.route_memory.data(), act.route_memory.size()));
  }
  GH_RETURN_IF_ERROR(memory.Download(routes_twin, routes_twin.size()));
  const auto host = [&](const auto* place) {
    const auto offset = reinterpret_cast<const std::byte*>(place) - routes_twin.home();
    return std::span(reinterpret_cast<decltype(place)>(routes_twin.data() + offset),
                     static_cast<size_t>(rows * spec.gate.k));
  };
  routes.clear();
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    if (!spec.layers[layer].moe) continue;
    const int32_t* expert = act.routes[layer].expert;
    const float* weight = act.routes[layer].weight;
    routes.push_back({static_cast<int>(layer), host(expert), host(weight)});
  }
  output.routes = routes;
  return absl::OkStatus();
}

absl::StatusOr<StepOutput> Decoder::Await() {
  Impl& m = *impl_;
  GH_RETURN_IF_ERROR(m.failure);
  const absl::Status finished = m.backend.Finish();
  m.workspace->End();
  GH_RETURN_IF_ERROR(finished);
  StepOutput output;
  GH_RETURN_IF_ERROR(m.Download(output));
  // What was computed with pages that are gone is nobody's answer.
  if (m.weights.watch != nullptr) GH_RETURN_IF_ERROR(m.weights.watch->Check());
  return output;
}

}  // namespace guildhall
