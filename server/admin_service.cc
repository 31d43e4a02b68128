#include "server/admin_service.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "kernels/ops.h"
#include "server/admin_messages.h"
#include "server/guarded.h"
#include "server/proto_time.h"
#include "server/status_mapping.h"
#include "server/version.h"

namespace guildhall {
namespace {

constexpr std::string_view kBearer = "Bearer ";

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

v1::GetStatusResponse::State StateOf(ServerState::Phase phase, bool healthy) {
  if (phase == ServerState::Phase::kLoading) return v1::GetStatusResponse::STATE_LOADING;
  if (phase == ServerState::Phase::kDraining) return v1::GetStatusResponse::STATE_DRAINING;
  return healthy ? v1::GetStatusResponse::STATE_SERVING : v1::GetStatusResponse::STATE_UNHEALTHY;
}

}  // namespace

bool SameSecret(std::string_view given, std::string_view secret) {
  const size_t length = std::max(given.size(), secret.size());
  volatile unsigned difference = given.size() == secret.size() ? 0u : 1u;
  for (size_t i = 0; i < length; ++i) {
    const unsigned a = i < given.size() ? static_cast<unsigned char>(given[i]) : 0u;
    const unsigned b = i < secret.size() ? static_cast<unsigned char>(secret[i]) : 0u;
    difference = difference | (a ^ b);
  }
  return difference == 0;
}

absl::Status AdminService::CheckToken(const grpc::ServerContext& context) const {
  if (token_.empty()) return absl::OkStatus();
  const auto& metadata = context.client_metadata();
  const auto at = metadata.find("authorization");
  if (at == metadata.end()) {
    return absl::UnauthenticatedError("this listener needs the metadata \"authorization: Bearer TOKEN\"");
  }
  std::string_view value(at->second.data(), at->second.size());
  const bool bearer = value.substr(0, kBearer.size()) == kBearer;
  if (bearer) value.remove_prefix(kBearer.size());
  if (SameSecret(value, token_) && bearer) return absl::OkStatus();
  return absl::PermissionDeniedError("the token in the metadata \"authorization\" is not the configured one");
}

grpc::Status AdminService::GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                                     v1::GetStatusResponse* response) {
  return ToGrpcStatus(Guarded([&]() -> absl::Status {
    GH_RETURN_IF_ERROR(CheckToken(*context));
    response->set_version(Version());
    SetTimestamp(state_.started_at(), *response->mutable_started_at());
    response->set_open_streams(calls_.open());
    const auto phase = state_.phase();
    const auto deployment = state_.deployment();
    bool healthy = true;
    if (deployment != nullptr) {
      *response->mutable_model() = deployment->model;
      for (const auto& item : deployment->memory) *response->add_memory() = item;
      const EngineStatus engine = deployment->engine->Status();
      healthy = engine.healthy;
      FillEngine(engine, *response->mutable_engine());
      FillTasks(*deployment, engine, *response);
      FillAdapters(*deployment, *response);
    }
    response->set_state(StateOf(phase, healthy));
    return absl::OkStatus();
  }));
}

grpc::Status AdminService::Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                                 v1::DrainResponse* response) {
  return ToGrpcStatus(Guarded([&]() -> absl::Status {
    GH_RETURN_IF_ERROR(CheckToken(*context));
    absl::Duration limit = drain_limit_;
    if (request->has_limit()) {
      GH_ASSIGN_OR_RETURN(limit, ReadDuration(request->limit(), "limit"));
    }
    Log().info("drain asked for by {}", context->peer());
    state_.BeginDrain(limit);
    response->set_open_requests(calls_.open());
    SetDuration(state_.drain_limit().value_or(limit), *response->mutable_limit());
    return absl::OkStatus();
  }));
}

}  // namespace guildhall
