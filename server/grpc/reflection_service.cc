#include "server/grpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <set>

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

}  // namespace

Response ReflectionService::Answer(const Request& request) const {
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
      for (const std::string& name : services_)
        response.mutable_list_services_response()->add_service()->set_name(name);
      break;
    default:
      Fail(grpc::StatusCode::INVALID_ARGUMENT, "message_request: expected one of its kinds, found none",
           response);
  }
  return response;
}

grpc::Status ReflectionService::ServerReflectionInfo(grpc::ServerContext*,
                                                     grpc::ServerReaderWriter<Response, Request>* stream) {
  Request request;
  while (stream->Read(&request)) {
    if (!stream->Write(Answer(request))) break;
  }
  return grpc::Status::OK;
}

}  // namespace guildhall
