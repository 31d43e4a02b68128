#include "server/http/error_answer.h"

#include <charconv>
#include <optional>

#include "absl/strings/cord.h"
#include "base/json.h"
#include "base/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

constexpr char kHttpStatus[] = "guildhall/http-status";
constexpr char kAllow[] = "guildhall/allow";

int OfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

int HttpStatusOf(const absl::Status& status) {
  int code = 0;
  if (const auto payload = status.GetPayload(kHttpStatus)) {
    const std::string text(*payload);
    if (std::from_chars(text.data(), text.data() + text.size(), code).ec == std::errc()) return code;
  }
  return OfCode(status.code());
}

const char* TypeOf(int http_status) {
  if (http_status == 401) return "authentication_error";
  if (http_status == 403) return "permission_error";
  if (http_status == 429) return "rate_limit_error";
  return http_status >= 500 ? "server_error" : "invalid_request_error";
}

template <typename T>
std::optional<T> Detail(const google::rpc::Status& rich) {
  T detail;
  for (const auto& any : rich.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

// For programs; null where the status says all.
Json CodeOf(const absl::Status& status, const google::rpc::Status& rich) {
  if (absl::IsNotFound(status) && Detail<google::rpc::ResourceInfo>(rich)) return "model_not_found";
  if (absl::IsOutOfRange(status)) return "context_length_exceeded";
  if (absl::IsResourceExhausted(status)) return "rate_limit_exceeded";
  const auto precondition = Detail<google::rpc::PreconditionFailure>(rich);
  if (precondition && precondition->violations_size() > 0) return precondition->violations(0).type();
  return nullptr;
}

Json ParamOf(const absl::Status& status, const google::rpc::Status& rich) {
  if (const auto bad = Detail<google::rpc::BadRequest>(rich); bad && bad->field_violations_size() > 0) {
    return bad->field_violations(0).field();
  }
  if (absl::IsNotFound(status) && Detail<google::rpc::ResourceInfo>(rich)) return "model";
  return nullptr;
}

}  // namespace

absl::Status WithHttpStatus(absl::Status status, int http_status) {
  status.SetPayload(kHttpStatus, absl::Cord(StrCat(http_status)));
  return status;
}

absl::Status MethodNotAllowed(std::string_view message, std::string_view allowed) {
  absl::Status status = WithHttpStatus(absl::InvalidArgumentError(std::string(message)), 405);
  status.SetPayload(kAllow, absl::Cord(std::string(allowed)));
  return status;
}

ErrorAnswer MakeErrorAnswer(const absl::Status& status) {
  const google::rpc::Status rich = RichStatus(status);
  ErrorAnswer answer;
  answer.status = HttpStatusOf(status);
  Json error = Json::object();
  error["message"] = rich.message();
  error["type"] = TypeOf(answer.status);
  error["param"] = ParamOf(status, rich);
  error["code"] = CodeOf(status, rich);
  answer.body = DumpJson(Json{{"error", error}});
  if (const auto allowed = status.GetPayload(kAllow)) {
    answer.headers.emplace_back("allow", std::string(*allowed));
  }
  if (const auto retry = Detail<google::rpc::RetryInfo>(rich); retry && answer.status != 400) {
    const int64_t ms = retry->retry_delay().seconds() * 1000 + retry->retry_delay().nanos() / 1'000'000;
    answer.headers.emplace_back("retry-after", StrCat((ms + 999) / 1000));
    answer.headers.emplace_back("retry-after-ms", StrCat(ms));
  }
  return answer;
}

}  // namespace guildhall
