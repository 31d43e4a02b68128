// Every call of a gRPC listener comes through here before anything of it is read: a method that
// exists, metadata within their limit, room on its connection, the right to make it.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "server/call_limits.h"
#include "server/call_threads.h"
#include "server/grpc/method.h"
#include "server/grpc/waiting_calls.h"
#include "server/net/connection_table.h"

namespace guildhall {

// Whether the credentials that came with a call let it in; health is asked without.
using Authorize = std::function<absl::Status(const std::optional<std::string>& authorization)>;

struct DoorOptions {
  std::vector<GrpcMethod> methods;
  Authorize authorize;  // null: everybody
  int64_t metadata_bytes = 8192;
  size_t waiting_calls = 0;       // whose message has not come
  size_t conversations = 0;       // reflection streams
  absl::Duration conversation;    // the most that one may take
  double request_timeout_s = 60;  // until a call's message is there
  CallLimits::Options calls;
  int64_t threads = 64;
};

// Thread-safe. No call holds a thread while it waits for its client.
class Door final : public grpc::CallbackGenericService {
 public:
  // The table outlives it.
  Door(DoorOptions options, ConnectionTable& connections);

  grpc::ServerGenericBidiReactor* CreateReactor(CallContext* context) override;
  // Turns away who has been waited for too long; to be called about once a second.
  void Tick();
  // Turns away all who are waited for.
  void Close();

 private:
  absl::Status Admit(const CallContext& context, const GrpcMethod* method) const;
  absl::Status CheckMetadata(const CallContext& context) const;

  std::unordered_map<std::string, GrpcMethod> methods_;  // by path
  const Authorize authorize_;
  const int64_t metadata_bytes_;
  ConnectionTable& connections_;
  WaitingCalls requests_, conversations_;
  CallLimits limits_;
  CallThreads threads_;
  const CallRooms rooms_;
};

}  // namespace guildhall
