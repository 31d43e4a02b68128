#include "server/grpc/request_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <future>
#include <memory>
#include <utility>

#include "base/status.h"
#include "server/error_details.h"
#include "server/grpc/status_mapping.h"

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
  if (rooms_.threads == nullptr) return rooms_.answer(*this);
  const absl::Status refused = TakeThread();
  if (!refused.ok()) Refuse(refused);
}

absl::Status RequestCall::TakeThread() {
  GH_ASSIGN_OR_RETURN(CallLimits::Ticket counted, rooms_.limits.Enter(rooms_.kind, peer()));
  counted_.emplace(std::move(counted));
  // The call ends by what runs, so that it is there when that begins.
  return rooms_.threads->Run([this] { rooms_.answer(*this); });
}

void RequestCall::TurnAway(const absl::Status& status) {
  if (EndWait()) Refuse(status);
}

void RequestCall::Refuse(const absl::Status& status) {
  CountRefusal(status);
  End(status);
}

void RequestCall::End(const absl::Status& status) {
  counted_.reset();  // before the client knows, who may come again at once
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

void RequestCall::Send(const google::protobuf::Message& message, std::function<void(bool)> sent) {
  if (cancelled()) return sent(false);
  out_ = BytesOf(message);
  sent_ = std::move(sent);
  StartWrite(&out_);
}

void RequestCall::OnWriteDone(bool ok) {
  // What is told may send the next one at once.
  const std::function<void(bool)> sent = std::exchange(sent_, nullptr);
  sent(ok);
}

bool RequestCall::Write(const google::protobuf::Message& message) {
  const auto taken = std::make_shared<std::promise<bool>>();
  std::future<bool> answer = taken->get_future();
  Send(message, [taken](bool ok) { taken->set_value(ok); });
  return answer.get();
}

void RequestCall::Reply(const google::protobuf::Message& message) {
  out_ = BytesOf(message);
  has_reply_ = true;
}

}  // namespace guildhall
