#include "server/grpc/health_watch.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "grpc/health/v1/health.pb.h"
#include "server/error_details.h"
#include "server/grpc/status_mapping.h"

namespace guildhall {

namespace health = grpc::health::v1;

HealthWatch::HealthWatch(CallContext& context, ConnectionTable::Ticket ticket, Health& health,
                         WaitingCalls& waiting)
    : GrpcCall(context, std::move(ticket)), health_(health), waiting_(waiting) {
  waiting_.Enter(*this, place_);
  StartRead(&in_);
}

void HealthWatch::OnReadDone(bool ok) {
  waiting_.Leave(place_);
  health::HealthCheckRequest request;
  if (!ok ||
      !grpc::GenericDeserialize<grpc::ProtoBufferReader, health::HealthCheckRequest>(&in_, &request).ok()) {
    return TurnAway(FieldError("request", "expected one message that can be read, found none"));
  }
  service_ = request.service();
  if (const absl::Status refused = health_.Enter(*this); !refused.ok()) TurnAway(refused);
}

void HealthWatch::Tell(int status) {
  const std::lock_guard lock(mutex_);
  if (writing_) {
    next_ = status;
  } else if (!finished_) {
    Send(status);
  }
}

void HealthWatch::Send(int status) {
  health::HealthCheckResponse response;
  response.set_status(static_cast<health::HealthCheckResponse::ServingStatus>(status));
  bool own = false;
  out_.Clear();
  grpc::GenericSerialize<grpc::ProtoBufferWriter, health::HealthCheckResponse>(response, &out_, &own);
  writing_ = true;
  StartWrite(&out_);
}

void HealthWatch::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (!ok || finished_ || !next_) return;
  const int status = *next_;
  next_.reset();
  Send(status);
}

void HealthWatch::TurnAway(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  CountRefusal(status);
  Finish(ToGrpcStatus(status));
}

void HealthWatch::Ended() {
  health_.Leave(*this);
  waiting_.Leave(place_);
}

}  // namespace guildhall
