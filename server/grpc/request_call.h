// A call that begins with one message of the client, as all of guildhall.v1 and health's Check do.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "absl/status/status.h"
#include "server/call_threads.h"
#include "server/grpc/grpc_call.h"
#include "server/grpc/waiting_calls.h"

namespace guildhall {

// Reads the message and the end of the client's side; both are there before it takes a thread. A
// call without a message, with two, or with one that cannot be read is INVALID_ARGUMENT.
class RequestCall final : public GrpcCall {
 public:
  // What answers: reads the message by ReadMessage, writes by Write and Reply. The status
  // is the call's.
  using Answer = std::function<absl::Status(RequestCall& call)>;
  // Where it waits and runs; all of it outlives the call.
  struct Rooms {
    WaitingCalls& waiting;
    CallThreads* threads;  // null: the answer takes no time, and is given on gRPC's thread without Write
    CallKind kind;
    const Answer& answer;
  };

  RequestCall(CallContext& context, ConnectionTable::Ticket ticket, const Rooms& rooms);

  // INVALID_ARGUMENT. The message's bytes are gone afterwards.
  absl::Status ReadMessage(google::protobuf::Message& message);
  // Blocks until the transport has taken it; false: the client is gone.
  bool Write(const google::protobuf::Message& message);
  // The one message of an answer, sent with its end if that is well.
  void Reply(const google::protobuf::Message& message);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void TurnAway(const absl::Status& status) override;

 private:
  void Ended() override { rooms_.waiting.Leave(place_); }
  // True for the first one that ends the wait for the client.
  bool EndWait() { return !wait_ended_.exchange(true); }
  void Begin();
  void Run();
  void Refuse(const absl::Status& status);
  void End(const absl::Status& status);

  const Rooms rooms_;
  WaitingCalls::Place place_;
  std::atomic<bool> wait_ended_{false};
  bool has_message_ = false, has_reply_ = false;
  grpc::ByteBuffer message_, extra_, out_;

  std::mutex mutex_;
  std::condition_variable written_;
  bool writing_ = false, write_ok_ = true;
};

}  // namespace guildhall
