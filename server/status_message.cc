#include "server/status_message.h"

#include <string>
#include <vector>

#include "kernels/ops.h"
#include "server/admin_messages.h"
#include "server/proto_time.h"
#include "server/version.h"

namespace guildhall {
namespace {

void FillModel(const ModelInfo& from, v1::ModelStatus& to) {
  to.set_name(from.name);
  to.set_architecture(from.architecture);
  to.set_dtype(from.dtype);
  to.set_vocabulary(from.vocabulary);
  to.set_context_tokens(from.context_tokens);
  to.set_backend(from.backend);
  to.set_device_products(from.device_products);
  to.set_experts(from.experts);
  to.set_experts_per_token(from.experts_per_token);
  to.set_layers(from.layers);
}

void FillMemory(const MemoryItem& from, v1::MemoryItem& to) {
  to.set_name(from.name);
  to.set_bytes(from.bytes);
  to.set_note(from.note);
}

void FillEngine(const EngineStatus& from, v1::EngineStatus& to) {
  to.set_kv_blocks(from.kv_blocks);
  to.set_kv_blocks_free(from.kv_blocks_free);
  to.set_kv_blocks_cached(from.kv_blocks_cached);
  to.set_kv_blocks_most(from.kv_blocks_most);
  to.set_tokens_per_kv_block(kKvBlockTokens);
  to.set_steps(from.steps);
  to.set_preemptions(from.preemptions);
  to.set_prefix_hit_tokens(from.prefix_hit_tokens);
  to.set_overtakings(from.overtakings);
  to.set_prompt_rows(from.prompt_rows);
  to.set_output_tokens_per_second(from.tokens_per_second);
  to.set_consecutive_numeric_failures(from.consecutive_numeric_failures);
  to.set_device_lost(from.device_lost);
  to.set_step_seconds(absl::ToDoubleSeconds(from.turn));
  to.set_hung(from.hung);
  for (const auto& task : from.tasks) {
    to.set_queued(to.queued() + task.queued);
    to.set_running(to.running() + task.running);
  }
}

void FillTask(const EngineStatus::Task& from, v1::TaskStatus& to) {
  to.set_id(from.policy.id);
  to.set_weight(from.policy.weight);
  to.set_queued(from.queued);
  to.set_running(from.running);
  to.set_max_queued(from.policy.max_queued);
  to.set_max_running(from.policy.max_running);
  to.set_requests(from.requests);
  to.set_rejected(from.rejected);
  to.set_prompt_tokens(from.prompt_tokens);
  to.set_output_tokens(from.output_tokens);
  to.set_drafted_tokens(from.drafted_tokens);
  to.set_accepted_tokens(from.accepted_tokens);
}

void FillTasks(const Deployment& deployment, const EngineStatus& engine, v1::GetStatusResponse& response) {
  const auto snapshot = deployment.tasks->Snapshot();
  for (const auto& task : engine.tasks) {
    v1::TaskStatus& status = *response.add_tasks();
    FillTask(task, status);
    const auto at = snapshot->find(task.policy.id);
    if (at != snapshot->end()) FillAdapterUses(at->second->adapters, *status.mutable_adapters());
  }
}

void FillListener(const ListenerCounts& from, v1::ListenerStatus& to) {
  to.set_name(from.name);
  to.set_connections(from.connections);
  to.set_connections_most(from.connections_most);
  to.set_accepted_connections(from.accepted_connections);
  to.set_refused_connections(from.refused_connections);
  to.set_idle_connections_closed(from.idle_connections_closed);
  to.set_hostile_connections_closed(from.hostile_connections_closed);
  to.set_accept_failures(from.accept_failures);
  to.set_calls(from.calls);
  to.set_refused_calls(from.refused_calls);
  to.set_reset_calls(from.reset_calls);
}

v1::GetStatusResponse::State StateOf(ServerState::Phase phase, bool healthy) {
  if (phase == ServerState::Phase::kLoading) return v1::GetStatusResponse::STATE_LOADING;
  if (phase == ServerState::Phase::kDraining) return v1::GetStatusResponse::STATE_DRAINING;
  return healthy ? v1::GetStatusResponse::STATE_SERVING : v1::GetStatusResponse::STATE_UNHEALTHY;
}

}  // namespace

void FillAdapterList(const Deployment& deployment, v1::ListAdaptersResponse& to) {
  const std::vector<AdapterInfo> adapters = deployment.adapters->List();
  const auto tasks = deployment.administration->TasksByAdapter();
  for (const AdapterInfo& adapter : adapters) {
    const auto users = tasks.find(adapter.name);
    FillAdapter(adapter, users == tasks.end() ? std::vector<std::string>() : users->second,
                *to.add_adapters());
  }
  if (const ByteBudget* const budget = deployment.adapters->budget()) {
    FillBudget(*budget, adapters, *to.mutable_budget());
  }
}

void FillStatus(const ServerState& state, const OpenStreams& streams, const CountsOfListeners& listeners,
                v1::GetStatusResponse& to) {
  to.set_version(Version());
  SetTimestamp(state.started_at(), *to.mutable_started_at());
  to.set_open_streams(streams.open());
  listeners.ForEach([&](const ListenerCounts& counts) { FillListener(counts, *to.add_listeners()); });
  const auto phase = state.phase();
  const auto deployment = state.deployment();
  bool healthy = true;
  if (deployment != nullptr) {
    FillModel(deployment->model, *to.mutable_model());
    for (const MemoryItem& item : deployment->memory) FillMemory(item, *to.add_memory());
    to.set_request_memory(deployment->request_memory->used());
    to.set_request_memory_limit(deployment->request_memory->limit());
    const EngineStatus engine = deployment->engine->Status();
    healthy = engine.healthy;
    FillEngine(engine, *to.mutable_engine());
    FillTasks(*deployment, engine, to);
    v1::ListAdaptersResponse list;
    FillAdapterList(*deployment, list);
    to.mutable_adapters()->Swap(list.mutable_adapters());
    if (list.has_budget()) to.mutable_budget()->Swap(list.mutable_budget());
  }
  to.set_state(StateOf(phase, healthy));
}

}  // namespace guildhall
