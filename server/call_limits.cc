#include "server/call_limits.h"

#include "absl/time/time.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

absl::Status Refusal(const std::string& why) {
  return WithRetry(absl::ResourceExhaustedError(why), absl::Seconds(1));
}

// "ipv4:10.0.0.7:4711" without its port. Empty: the client has no address.
std::string HostOf(const std::string& peer) {
  return peer.starts_with("ipv") ? peer.substr(0, peer.rfind(':')) : "";
}

}  // namespace

absl::Status CallLimits::Check(CallKind kind, const std::string& host) const {
  const int64_t most = options_.calls[IndexOf(kind)], most_of_host = options_.of_host[IndexOf(kind)];
  if (calls_[IndexOf(kind)] >= most) {
    return Refusal(StrCat("the server has its limit of ", most, " calls of this kind open; try again later"));
  }
  const auto at = of_hosts_.find(host);
  if (most_of_host == 0 || host.empty() || at == of_hosts_.end()) return absl::OkStatus();
  if (at->second[IndexOf(kind)] < most_of_host) return absl::OkStatus();
  return Refusal(StrCat("the client's address has its limit of ", most_of_host,
                        " calls of this kind open; try again later"));
}

absl::StatusOr<CallLimits::Ticket> CallLimits::Enter(CallKind kind, const std::string& peer) {
  std::string host = HostOf(peer);
  const std::lock_guard lock(mutex_);
  GH_RETURN_IF_ERROR(Check(kind, host));
  ++of_hosts_[host][IndexOf(kind)];
  ++calls_[IndexOf(kind)];
  return Ticket(*this, kind, std::move(host));
}

CallLimits::Ticket::~Ticket() {
  if (limits_ == nullptr) return;
  const std::lock_guard lock(limits_->mutex_);
  --limits_->calls_[IndexOf(kind_)];
  const auto of_host = limits_->of_hosts_.find(host_);
  if (--of_host->second[IndexOf(kind_)] == 0 && of_host->second == PerKind{}) {
    limits_->of_hosts_.erase(of_host);
  }
}

}  // namespace guildhall
