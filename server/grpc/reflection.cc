#include "server/grpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "grpc/reflection/v1/reflection.pb.h"
#include "server/error_details.h"
#include "server/grpc/status_mapping.h"

namespace guildhall {
namespace {

namespace pb = google::protobuf;
namespace reflection = grpc::reflection::v1;
using Request = reflection::ServerReflectionRequest;
using Response = reflection::ServerReflectionResponse;

void Fail(grpc::StatusCode code, const std::string& message, Response& response) {
  response.mutable_error_response()->set_error_code(code);
  response.mutable_error_response()->set_error_message(message);
}

// `file` first, then everything that it imports, each once.
void AddFile(const pb::FileDescriptor* file, std::set<std::string>& seen,
             reflection::FileDescriptorResponse& out) {
  if (!seen.insert(std::string(file->name())).second) return;
  pb::FileDescriptorProto proto;
  file->CopyTo(&proto);
  out.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), seen, out);
}

void GiveFile(const pb::FileDescriptor* file, const std::string& what, Response& response) {
  if (file == nullptr) return Fail(grpc::StatusCode::NOT_FOUND, what + " not found", response);
  std::set<std::string> seen;
  AddFile(file, seen, *response.mutable_file_descriptor_response());
}

void GiveExtension(const reflection::ExtensionRequest& request, Response& response) {
  const pb::DescriptorPool& pool = *pb::DescriptorPool::generated_pool();
  const pb::Descriptor* type = pool.FindMessageTypeByName(request.containing_type());
  const pb::FieldDescriptor* extension =
      type == nullptr ? nullptr : pool.FindExtensionByNumber(type, request.extension_number());
  GiveFile(extension == nullptr ? nullptr : extension->file(), "extension", response);
}

void GiveExtensionNumbers(const std::string& name, Response& response) {
  const pb::DescriptorPool& pool = *pb::DescriptorPool::generated_pool();
  const pb::Descriptor* type = pool.FindMessageTypeByName(name);
  if (type == nullptr) return Fail(grpc::StatusCode::NOT_FOUND, "type not found", response);
  auto& answer = *response.mutable_all_extension_numbers_response();
  answer.set_base_type_name(name);
  std::vector<const pb::FieldDescriptor*> extensions;
  pool.FindAllExtensions(type, &extensions);
  for (const pb::FieldDescriptor* extension : extensions) answer.add_extension_number(extension->number());
}

Response AnswerTo(const Request& request, const std::vector<std::string>& services) {
  Response response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const pb::DescriptorPool& pool = *pb::DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      GiveFile(pool.FindFileByName(request.file_by_filename()), "file", response);
      break;
    case Request::kFileContainingSymbol:
      GiveFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), "symbol", response);
      break;
    case Request::kFileContainingExtension:
      GiveExtension(request.file_containing_extension(), response);
      break;
    case Request::kAllExtensionNumbersOfType:
      GiveExtensionNumbers(request.all_extension_numbers_of_type(), response);
      break;
    case Request::kListServices:
      response.mutable_list_services_response();
      for (const std::string& name : services)
        response.mutable_list_services_response()->add_service()->set_name(name);
      break;
    default:
      Fail(grpc::StatusCode::INVALID_ARGUMENT, "message_request: expected one of its kinds, found none",
           response);
  }
  return response;
}

// Question and answer by turns, within the time of a conversation.
class ReflectionCall final : public GrpcCall {
 public:
  ReflectionCall(CallContext& context, ConnectionTable::Ticket ticket, const Reflection& reflection,
                 WaitingCalls& waiting)
      : GrpcCall(context, std::move(ticket)), reflection_(reflection), waiting_(waiting) {
    waiting_.Enter(*this, place_);
    StartRead(&in_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(absl::OkStatus());
    if (!reflection_.Answer(in_, out_)) return End(FieldError("request", "the message cannot be read"));
    const std::lock_guard lock(mutex_);
    if (!ended_) StartWrite(&out_);
  }
  void OnWriteDone(bool ok) override {
    if (ok)
      StartRead(&in_);
    else
      End(absl::CancelledError("the client left"));
  }
  void TurnAway(const absl::Status& status) override { End(status); }

 private:
  void Ended() override { waiting_.Leave(place_); }

  void End(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    CountRefusal(status);
    Finish(ToGrpcStatus(status));
  }

  const Reflection& reflection_;
  WaitingCalls& waiting_;
  WaitingCalls::Place place_;
  grpc::ByteBuffer in_, out_;
  std::mutex mutex_;
  bool ended_ = false;
};

}  // namespace

bool Reflection::Answer(grpc::ByteBuffer& request, grpc::ByteBuffer& response) const {
  Request question;
  if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, Request>(&request, &question).ok()) return false;
  bool own = false;
  response.Clear();
  grpc::GenericSerialize<grpc::ProtoBufferWriter, Response>(AnswerTo(question, services_), &response, &own);
  return true;
}

std::vector<GrpcMethod> Reflection::Methods() const {
  const auto make = [this](CallContext& context, ConnectionTable::Ticket ticket,
                           const CallRooms& rooms) -> GrpcCall* {
    return new ReflectionCall(context, std::move(ticket), *this, rooms.conversations);
  };
  return {{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", CallKind::kReflection, make},
          {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", CallKind::kReflection, make}};
}

}  // namespace guildhall
