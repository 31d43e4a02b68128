#include "server/grpc/request_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "server/error_details.h"
#include "server/grpc/status_mapping.h"
#include "server/guarded.h"

namespace guildhall {
namespace {

grpc::ByteBuffer BytesOf(const google::protobuf::Message& message) {
  grpc::ByteBuffer bytes;
  bool own = false;
  grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &bytes, &own);
  return bytes;
}

}  // namespace

RequestCall::RequestCall(CallContext& context, ConnectionTable::Ticket ticket, const Rooms& rooms)
    : GrpcCall(context, std::move(ticket)), rooms_(rooms) {
  rooms_.waiting.Enter(*this, place_);
  StartRead(&message_);
}

void RequestCall::OnReadDone(bool ok) {
  if (ok && !has_message_ && !wait_ended_) {
    has_message_ = true;
    return StartRead(&extra_);
  }
  if (!EndWait()) return;
  rooms_.waiting.Leave(place_);
  if (ok) return End(FieldError("request", "expected one message, found a second"));
  if (!has_message_) return End(FieldError("request", "expected one message, found none"));
  Begin();
}

void RequestCall::Begin() {
  if (rooms_.threads == nullptr) return Run();
  // The call ends by Run, so that it is there when Run begins.
  const absl::Status refused = rooms_.threads->Run(rooms_.kind, peer(), [this] { Run(); });
  if (!refused.ok()) Refuse(refused);
}

void RequestCall::Run() {
  End(Guarded([this] { return rooms_.answer(*this); }));
}

void RequestCall::TurnAway(const absl::Status& status) {
  if (EndWait()) Refuse(status);
}

void RequestCall::Refuse(const absl::Status& status) {
  CountRefusal(status);
  End(status);
}

// The last thing that is done here: the call may be gone when it returns.
void RequestCall::End(const absl::Status& status) {
  if (!status.ok() || !has_reply_) return Finish(ToGrpcStatus(status));
  StartWriteAndFinish(&out_, grpc::WriteOptions(), grpc::Status::OK);
}

absl::Status RequestCall::ReadMessage(google::protobuf::Message& message) {
  const grpc::Status read =
      grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(&message_, &message);
  if (read.ok()) return absl::OkStatus();
  return FieldError(
      "request",
      "the message cannot be read: expected valid protobuf whose strings are UTF-8 (send text in "
      "other encodings as token_ids, or convert it)");
}

bool RequestCall::Write(const google::protobuf::Message& message) {
  std::unique_lock lock(mutex_);
  if (cancelled() || !write_ok_) return false;
  out_ = BytesOf(message);
  writing_ = true;
  StartWrite(&out_);
  written_.wait(lock, [this] { return !writing_; });
  return write_ok_;
}

void RequestCall::Reply(const google::protobuf::Message& message) {
  out_ = BytesOf(message);
  has_reply_ = true;
}

void RequestCall::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  write_ok_ = ok;
  written_.notify_all();
}

}  // namespace guildhall
