// A call that begins with one message of the client, as all of guildhall.v1 and health's Check do.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "server/call_limits.h"
#include "server/call_threads.h"
#include "server/grpc/grpc_call.h"
#include "server/grpc/waiting_calls.h"

namespace guildhall {

// Reads the message and the end of the client's side; both are there before it takes a thread. A
// call without a message, with two, or with one that cannot be read is INVALID_ARGUMENT.
class RequestCall final : public GrpcCall {
 public:
  // What answers: reads the message by ReadMessage, writes by Write, Send and Reply, and sees to it that the
  // call ends by End, at once or later. It does not throw.
  using Answer = std::function<void(RequestCall& call)>;
  // Where it waits and runs; all of it outlives the call.
  struct Rooms {
    WaitingCalls& waiting;
    CallLimits& limits;
    CallThreads* threads;  // null: the answer takes no time, and is given on gRPC's thread without Write
    CallKind kind;
    const Answer& answer;
  };

  RequestCall(CallContext& context, ConnectionTable::Ticket ticket, const Rooms& rooms);

  // INVALID_ARGUMENT. The message's bytes are gone afterwards.
  absl::Status ReadMessage(google::protobuf::Message& message);
  // Begins to write, one message at a time. When the transport has taken it, `sent` is called once, on a
  // thread of gRPC or from inside; false: the client is gone.
  void Send(const google::protobuf::Message& message, std::function<void(bool taken)> sent);
  // The same, blocking; for a thread of the call's own.
  bool Write(const google::protobuf::Message& message);
  // The one message of an answer, sent with its end if that is well.
  void Reply(const google::protobuf::Message& message);
  // The last thing that is done here: the call may be gone when it returns.
  void End(const absl::Status& status);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void TurnAway(const absl::Status& status) override;

 private:
  void Ended() override { rooms_.waiting.Leave(place_); }
  // True for the first one that ends the wait for the client.
  bool EndWait() { return !wait_ended_.exchange(true); }
  void Begin();
  absl::Status TakeThread();
  void Refuse(const absl::Status& status);

  const Rooms rooms_;
  WaitingCalls::Place place_;
  std::optional<CallLimits::Ticket> counted_;
  std::atomic<bool> wait_ended_{false};
  bool has_message_ = false, has_reply_ = false;
  grpc::ByteBuffer message_, extra_, out_;
  std::function<void(bool)> sent_;  // of the message that is being written
};

}  // namespace guildhall
