#include "server/grpc/health.h"

#include <utility>

#include "base/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "server/error_details.h"
#include "server/grpc/health_watch.h"

namespace guildhall {

namespace health = grpc::health::v1;

int Health::Find(const std::string& service) const {
  const auto at = services_.find(service);
  if (at == services_.end()) return health::HealthCheckResponse::SERVICE_UNKNOWN;
  return at->second ? health::HealthCheckResponse::SERVING : health::HealthCheckResponse::NOT_SERVING;
}

void Health::Set(const std::string& service, bool serving) {
  const std::lock_guard lock(mutex_);
  const auto [at, added] = services_.try_emplace(service, serving);
  if (!added && std::exchange(at->second, serving) == serving) return;  // set anew many times a second
  for (HealthWatch* watch : watches_) {
    if (watch->service() == service) watch->Tell(Find(service));
  }
}

void Health::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (HealthWatch* watch : watches_) watch->TurnAway(absl::UnavailableError("the server shuts down"));
}

absl::Status Health::Enter(HealthWatch& watch) {
  const std::lock_guard lock(mutex_);
  if (closed_) return absl::UnavailableError("the server shuts down");
  if (watches_.size() >= most_watches_) {
    return WithRetry(absl::ResourceExhaustedError(
                         StrCat("the server has its limit of ", most_watches_, " health streams open")),
                     absl::Seconds(1));
  }
  watches_.insert(&watch);
  watch.Tell(Find(watch.service()));
  return absl::OkStatus();
}

void Health::Leave(HealthWatch& watch) {
  const std::lock_guard lock(mutex_);
  watches_.erase(&watch);
}

std::vector<GrpcMethod> Health::Methods() {
  const auto check = [this](const health::HealthCheckRequest& request, Call&,
                            health::HealthCheckResponse& response) -> absl::Status {
    const std::lock_guard lock(mutex_);
    const int status = Find(request.service());
    if (status == health::HealthCheckResponse::SERVICE_UNKNOWN) {
      return absl::NotFoundError("the service is unknown to health");
    }
    response.set_status(static_cast<health::HealthCheckResponse::ServingStatus>(status));
    return absl::OkStatus();
  };
  return {UnaryMethod<health::HealthCheckRequest, health::HealthCheckResponse>("/grpc.health.v1.Health/Check",
                                                                               CallKind::kHealth, check),
          {"/grpc.health.v1.Health/Watch", CallKind::kWatch,
           [this](CallContext& context, ConnectionTable::Ticket ticket, const CallRooms& rooms) -> GrpcCall* {
             return new HealthWatch(context, std::move(ticket), *this, rooms.requests);
           }}};
}

}  // namespace guildhall
