// The methods that a listener serves, each a line of a table.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/status.h"
#include "server/call.h"
#include "server/call_kind.h"
#include "server/grpc/grpc_call.h"
#include "server/grpc/request_call.h"
#include "server/guarded.h"

namespace guildhall {

// What calls that were let in wait and run in. Outlives them.
struct CallRooms {
  WaitingCalls& requests;
  WaitingCalls& conversations;
  CallLimits& limits;
  CallThreads& threads;
};

struct GrpcMethod {
  std::string path;  // "/guildhall.v1.Inference/Generate"
  CallKind kind;
  // Makes the call; gRPC owns it.
  std::function<GrpcCall*(CallContext& context, ConnectionTable::Ticket ticket, const CallRooms& rooms)> make;
};

// `answer` ends the call by RequestCall::End.
inline GrpcMethod RequestMethod(std::string path, CallKind kind, RequestCall::Answer answer) {
  return {std::move(path), kind,
          [kind, answer = std::move(answer)](CallContext& context, ConnectionTable::Ticket ticket,
                                             const CallRooms& rooms) -> GrpcCall* {
            CallThreads* const threads = kind == CallKind::kHealth ? nullptr : &rooms.threads;
            return new RequestCall(context, std::move(ticket),
                                   {rooms.requests, rooms.limits, threads, kind, answer});
          }};
}

// `run` is absl::Status(RequestCall&), and is all of the call.
template <typename Run>
GrpcMethod BlockingMethod(std::string path, CallKind kind, Run run) {
  return RequestMethod(std::move(path), kind, [run](RequestCall& call) {
    call.End(Guarded([&]() -> absl::Status { return run(call); }));
  });
}

// `run` is absl::Status(const Request&, Call&, Response&).
template <typename Request, typename Response, typename Run>
GrpcMethod UnaryMethod(std::string path, CallKind kind, Run run) {
  return BlockingMethod(std::move(path), kind, [run](RequestCall& call) -> absl::Status {
    Request request;
    GH_RETURN_IF_ERROR(call.ReadMessage(request));
    Response response;
    GH_RETURN_IF_ERROR(run(request, call, response));
    call.Reply(response);
    return absl::OkStatus();
  });
}

template <typename Message>
class RequestSink final : public MessageSink<Message> {
 public:
  explicit RequestSink(RequestCall& call) : call_(call) {}
  bool Write(const Message& message) override { return call_.Write(message); }

 private:
  RequestCall& call_;
};

// `run` is absl::Status(const Request&, Call&, MessageSink<Response>&).
template <typename Request, typename Response, typename Run>
GrpcMethod StreamMethod(std::string path, CallKind kind, Run run) {
  return BlockingMethod(std::move(path), kind, [run](RequestCall& call) -> absl::Status {
    Request request;
    GH_RETURN_IF_ERROR(call.ReadMessage(request));
    RequestSink<Response> sink(call);
    return run(request, call, sink);
  });
}

}  // namespace guildhall
