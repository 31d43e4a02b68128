#include "server/grpc/grpc_call.h"

namespace guildhall {

absl::Time GrpcCall::deadline() const {
  const auto deadline = context_.deadline();
  return deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture()
                                                                  : absl::FromChrono(deadline);
}

std::optional<std::string> GrpcCall::authorization() const {
  const auto& metadata = context_.client_metadata();
  const auto at = metadata.find("authorization");
  if (at == metadata.end()) return std::nullopt;
  return std::string(at->second.data(), at->second.size());
}

}  // namespace guildhall
