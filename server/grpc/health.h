// grpc.health.v1: gRPC's own has no bound on its Watch streams and keeps a server from ending while
// some are open.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "server/grpc/method.h"

namespace guildhall {

class HealthWatch;

// Thread-safe; outlives its calls.
class Health {
 public:
  // `most_watches`: Watch streams that are open at a time.
  explicit Health(size_t most_watches) : most_watches_(most_watches) {}

  // What the service of that name is said to be, from now on; other names are unknown.
  void Set(const std::string& service, bool serving);
  // Ends the Watch streams, and refuses new ones.
  void Close();

  std::vector<GrpcMethod> Methods();

 private:
  friend class HealthWatch;

  // A HealthCheckResponse::ServingStatus; SERVICE_UNKNOWN for other names.
  int Find(const std::string& service) const;
  // Tells the status at once and whenever it changes.
  absl::Status Enter(HealthWatch& watch);
  void Leave(HealthWatch& watch);

  const size_t most_watches_;
  mutable std::mutex mutex_;
  std::map<std::string, bool> services_;
  std::set<HealthWatch*> watches_;
  bool closed_ = false;
};

}  // namespace guildhall
