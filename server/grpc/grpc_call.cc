#include "server/grpc/grpc_call.h"

#include "absl/time/clock.h"
#include "server/grpc/status_mapping.h"

namespace guildhall {

std::optional<std::string> AuthorizationOf(const CallContext& context) {
  const auto& metadata = context.client_metadata();
  const auto at = metadata.find("authorization");
  if (at == metadata.end()) return std::nullopt;
  return std::string(at->second.data(), at->second.size());
}

absl::Time GrpcCall::deadline() const {
  const auto deadline = context_.deadline();
  return deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture()
                                                                  : absl::FromChrono(deadline);
}

void GrpcCall::Cancel() {
  cancelled_here_ = true;
  context_.TryCancel();
}

void GrpcCall::OnCancelled(std::function<void()> listener) {
  {
    const std::lock_guard lock(listener_mutex_);
    listener_ = listener;
  }
  if (cancelled()) listener();
}

void GrpcCall::OnCancel() {
  cancelled_ = true;
  Cancelled();
  std::function<void()> listener;
  {
    const std::lock_guard lock(listener_mutex_);
    listener = listener_;
  }
  if (listener) listener();
}

void GrpcCall::OnDone() {
  Ended();
  // A deadline that passes ends calls as well, and is no fault of the client.
  ticket_.Leave(cancelled_ && !cancelled_here_ && absl::Now() < deadline());
  delete this;
}

RefusedCall::RefusedCall(CallContext& context, ConnectionTable::Ticket ticket, const absl::Status& status)
    : GrpcCall(context, std::move(ticket)) {
  CountRefusal(status);
  Finish(ToGrpcStatus(status));
}

}  // namespace guildhall
