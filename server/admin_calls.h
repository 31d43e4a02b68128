// The administration's calls, whatever transport brought them, and who may make them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "guildhall/v1/admin.pb.h"
#include "server/call.h"
#include "server/listener_counts.h"
#include "server/open_streams.h"
#include "server/server_state.h"

namespace guildhall {

// Takes the time of the longer text, whatever the texts are: a wrong guess tells nothing about the
// secret but its length.
bool SameSecret(std::string_view given, std::string_view secret);

// Thread-safe; each call runs on its caller's thread. UNAUTHENTICATED without the token,
// PERMISSION_DENIED with a wrong one. But for Status and Drain: UNAVAILABLE while the model loads,
// and from the drain on. The state, the streams and the counts outlive it.
class AdminCalls {
 public:
  // An empty token lets everybody in (loopback, Unix socket, mutual TLS).
  AdminCalls(ServerState& state, const OpenStreams& streams, const CountsOfListeners& listeners,
             std::string token, absl::Duration drain_limit)
      : state_(state),
        streams_(streams),
        listeners_(listeners),
        token_(std::move(token)),
        drain_limit_(drain_limit) {}

  // Whether the credentials of a call let it in: "Bearer TOKEN", the first word in any case.
  // Every call asks this itself; a front end asks as soon as it knows them, before it reads
  // the call's message.
  absl::Status Authorize(const std::optional<std::string>& authorization) const;

  // In adapter_calls.cc. Writes the progress, then what was loaded; a client that goes away
  // aborts the load.
  absl::Status LoadAdapter(const v1::LoadAdapterRequest& request, const Call& call,
                           MessageSink<v1::LoadAdapterResponse>& sink) const;
  absl::Status UnloadAdapter(const v1::UnloadAdapterRequest& request, const Call& call,
                             v1::UnloadAdapterResponse& response) const;
  absl::Status ListAdapters(const v1::ListAdaptersRequest& request, const Call& call,
                            v1::ListAdaptersResponse& response) const;
  absl::Status PinAdapter(const v1::PinAdapterRequest& request, const Call& call,
                          v1::PinAdapterResponse& response) const;
  absl::Status PutTask(const v1::PutTaskRequest& request, const Call& call,
                       v1::PutTaskResponse& response) const;
  absl::Status DeleteTask(const v1::DeleteTaskRequest& request, const Call& call,
                          v1::DeleteTaskResponse& response) const;

  absl::Status GetStatus(const v1::GetStatusRequest& request, const Call& call,
                         v1::GetStatusResponse& response) const;
  absl::Status Drain(const v1::DrainRequest& request, const Call& call, v1::DrainResponse& response) const;

 private:
  // The token, and a server that serves.
  absl::StatusOr<std::shared_ptr<const Deployment>> Enter(const Call& call) const;

  ServerState& state_;
  const OpenStreams& streams_;
  const CountsOfListeners& listeners_;
  const std::string token_;
  const absl::Duration drain_limit_;
};

}  // namespace guildhall
