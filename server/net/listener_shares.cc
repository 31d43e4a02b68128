#include "server/net/listener_shares.h"

#include <algorithm>

#include "server/net/descriptor_limit.h"

namespace guildhall {
namespace {

constexpr int64_t kMostAdminConnections = 64;
constexpr int64_t kMostConnections = 8192;  // where the configuration says nothing
constexpr int64_t kOtherDescriptors = 512;  // of files, the engine and gRPC
constexpr int64_t kDescriptors = 2;         // of a connection: its protocol's own and the one that ends it

}  // namespace

int64_t AdminConnections() {
  return std::clamp(DescriptorLimit() / 16, int64_t{8}, kMostAdminConnections);
}

int64_t MostConnections(const ServerConfig& config, int64_t configured) {
  if (configured > 0) return configured;
  const int64_t descriptors = DescriptorLimit();
  const int64_t others = std::min(kOtherDescriptors, descriptors / 4);
  const int64_t listeners = config.http.listen.empty() ? 1 : 2;
  const int64_t connections = (descriptors - others) / kDescriptors - AdminConnections();
  return std::clamp(connections / listeners, int64_t{8}, kMostConnections);
}

int64_t OfOneHost(int64_t configured, int64_t in_all) {
  return configured > 0 ? configured : in_all - in_all / 8;
}

}  // namespace guildhall
