#include "client/error_text.h"

#include <google/protobuf/any.pb.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace guildhall {
namespace {

const char* CodeName(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return "OK";
    case grpc::StatusCode::CANCELLED:
      return "CANCELLED";
    case grpc::StatusCode::INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    case grpc::StatusCode::NOT_FOUND:
      return "NOT_FOUND";
    case grpc::StatusCode::ALREADY_EXISTS:
      return "ALREADY_EXISTS";
    case grpc::StatusCode::PERMISSION_DENIED:
      return "PERMISSION_DENIED";
    case grpc::StatusCode::UNAUTHENTICATED:
      return "UNAUTHENTICATED";
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case grpc::StatusCode::FAILED_PRECONDITION:
      return "FAILED_PRECONDITION";
    case grpc::StatusCode::ABORTED:
      return "ABORTED";
    case grpc::StatusCode::OUT_OF_RANGE:
      return "OUT_OF_RANGE";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    case grpc::StatusCode::INTERNAL:
      return "INTERNAL";
    case grpc::StatusCode::UNAVAILABLE:
      return "UNAVAILABLE";
    case grpc::StatusCode::DATA_LOSS:
      return "DATA_LOSS";
    default:
      return "UNKNOWN";
  }
}

// What the details add to a message that does not say it already.
std::string DetailText(const grpc::Status& status) {
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return {};
  std::string text;
  for (const google::protobuf::Any& any : rich.details()) {
    google::rpc::BadRequest bad;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        if (status.error_message().find(violation.field()) == std::string::npos)
          text += " [" + violation.field() + "]";
      }
    } else if (any.UnpackTo(&retry)) {
      const double seconds =
          static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() * 1e-9;
      char buffer[48];
      std::snprintf(buffer, sizeof(buffer), " (try again in %.1f s)", seconds);
      text += buffer;
    }
  }
  return text;
}

// gRPC itself says "failed to connect to all addresses; last error: ...": nothing listens there.
bool NotReached(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty();
}

}  // namespace

std::string ErrorText(const grpc::Status& status, const std::string& server) {
  if (NotReached(status)) {
    return "no answer from " + server + ": is a server running there? (" + status.error_message() + ")";
  }
  return std::string(CodeName(status.error_code())) + ": " + status.error_message() + DetailText(status);
}

std::string ErrorCodeName(const grpc::Status& status) {
  return NotReached(status) ? "NOT_REACHED" : CodeName(status.error_code());
}

int ErrorExitCode(const grpc::Status& status) {
  return NotReached(status) ? 2 : 3;
}

}  // namespace guildhall
