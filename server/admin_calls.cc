#include "server/admin_calls.h"

#include <strings.h>

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/admin_messages.h"
#include "server/guarded.h"
#include "server/proto_time.h"
#include "server/status_message.h"

namespace guildhall {
namespace {

constexpr std::string_view kBearer = "Bearer ";

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

absl::Status AdminCalls::Authorize(const std::optional<std::string>& authorization) const {
  if (token_.empty()) return absl::OkStatus();
  if (!authorization) {
    return absl::UnauthenticatedError("this listener needs the metadata \"authorization: Bearer TOKEN\"");
  }
  std::string_view value = *authorization;
  const bool bearer =
      value.size() >= kBearer.size() && strncasecmp(value.data(), kBearer.data(), kBearer.size()) == 0;
  if (bearer) value.remove_prefix(kBearer.size());
  if (SameSecret(value, token_) && bearer) return absl::OkStatus();
  return absl::PermissionDeniedError("the token in the metadata \"authorization\" is not the configured one");
}

absl::StatusOr<std::shared_ptr<const Deployment>> AdminCalls::Enter(const Call& call) const {
  GH_RETURN_IF_ERROR(Authorize(call.authorization()));
  return state_.ForRequest();
}

absl::Status AdminCalls::GetStatus(const v1::GetStatusRequest&, const Call& call,
                                   v1::GetStatusResponse& response) const {
  return Guarded([&]() -> absl::Status {
    GH_RETURN_IF_ERROR(Authorize(call.authorization()));
    FillStatus(state_, streams_, listeners_, response);
    return absl::OkStatus();
  });
}

absl::Status AdminCalls::Drain(const v1::DrainRequest& request, const Call& call,
                               v1::DrainResponse& response) const {
  return Guarded([&]() -> absl::Status {
    GH_RETURN_IF_ERROR(Authorize(call.authorization()));
    absl::Duration limit = drain_limit_;
    if (request.has_limit()) {
      GH_ASSIGN_OR_RETURN(limit, ReadDuration(request.limit(), "limit"));
    }
    Log().info("drain asked for by {}", call.peer());
    state_.BeginDrain(limit);
    response.set_open_requests(streams_.open());
    SetDuration(state_.drain_limit().value_or(limit), *response.mutable_limit());
    return absl::OkStatus();
  });
}

}  // namespace guildhall
