#include "server/error_details.h"

#include <utility>

#include "absl/strings/cord.h"
#include "base/json.h"
#include "base/str_cat.h"
#include "google/rpc/error_details.pb.h"

namespace guildhall {
namespace {

// A gRPC trailer, the narrowest place that it must fit: the message percent-encoded, and the details in
// base64, which hold the message once more.
constexpr size_t kMaxEncodedMessage = 1024;
constexpr size_t kMaxDetails = 4096;
constexpr size_t kMaxDetailText = 512;
constexpr absl::Duration kDefaultRetry = absl::Seconds(1);
constexpr char kTypePrefix[] = "type.googleapis.com/";

// Valid UTF-8, cut on a character's border where its percent-encoded form would pass `limit`.
std::string CleanText(std::string_view text, size_t limit) {
  // DumpJson replaces what is not UTF-8; a cut that hits a character in the middle is replaced along with it.
  const std::string bounded(text.substr(0, limit));
  const Json clean = Json::parse(DumpJson(Json(bounded)), nullptr, false);
  const std::string valid = clean.is_string() ? clean.get<std::string>() : std::string();
  size_t encoded = 0, end = 0;
  while (end < valid.size()) {
    size_t next = end + 1;
    while (next < valid.size() && (static_cast<unsigned char>(valid[next]) & 0xc0u) == 0x80u) ++next;
    const unsigned char first = static_cast<unsigned char>(valid[end]);
    encoded += first >= 0x20 && first <= 0x7e && first != '%' ? 1 : 3 * (next - end);
    if (encoded > limit) break;
    end = next;
  }
  std::string result = valid.substr(0, end);
  if (result.size() < text.size() && end < valid.size()) result += "...";
  return result;
}

std::string Cut(std::string_view text) {
  return CleanText(text, kMaxDetailText);
}

void SetDelay(google::rpc::RetryInfo& info, absl::Duration delay) {
  const int64_t ns = absl::ToInt64Nanoseconds(delay);
  info.mutable_retry_delay()->set_seconds(ns / 1'000'000'000);
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
}

std::string TypeUrl(const google::protobuf::Message& message) {
  return StrCat(kTypePrefix, message.GetDescriptor()->full_name());
}

bool WantsRetry(absl::StatusCode code) {
  return code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kUnavailable;
}

}  // namespace

void AddDetail(absl::Status& status, const google::protobuf::Message& detail) {
  status.SetPayload(TypeUrl(detail), absl::Cord(detail.SerializeAsString()));
}

absl::Status WithField(absl::Status status, std::string_view field) {
  google::rpc::BadRequest detail;
  auto* violation = detail.add_field_violations();
  violation->set_field(Cut(field));
  violation->set_description(Cut(std::string(status.message())));
  AddDetail(status, detail);
  return status;
}

absl::Status FieldError(std::string_view field, std::string_view description) {
  absl::Status status = absl::InvalidArgumentError(StrCat(field, ": ", description));
  google::rpc::BadRequest detail;
  auto* violation = detail.add_field_violations();
  violation->set_field(Cut(field));
  violation->set_description(Cut(description));
  AddDetail(status, detail);
  return status;
}

absl::Status WithResource(absl::Status status, std::string_view type, std::string_view name) {
  google::rpc::ResourceInfo detail;
  detail.set_resource_type(std::string(type));
  detail.set_resource_name(Cut(name));
  detail.set_description(Cut(std::string(status.message())));
  AddDetail(status, detail);
  return status;
}

absl::Status MissingResource(std::string_view type, std::string_view name) {
  const std::string shown = DumpJson(Json(Cut(name)));
  return WithResource(absl::NotFoundError(StrCat("there is no ", type, " ", shown)), type, name);
}

absl::Status PreconditionError(std::string_view type, std::string_view subject,
                               std::string_view description) {
  return WithPrecondition(absl::FailedPreconditionError(std::string(description)), type, subject);
}

absl::Status WithPrecondition(absl::Status status, std::string_view type, std::string_view subject) {
  google::rpc::PreconditionFailure detail;
  auto* violation = detail.add_violations();
  violation->set_type(std::string(type));
  violation->set_subject(Cut(subject));
  violation->set_description(Cut(std::string(status.message())));
  AddDetail(status, detail);
  return status;
}

absl::Status WithMessage(const absl::Status& status, std::string_view message) {
  absl::Status result(status.code(), std::string(message));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

absl::Status WithRetry(absl::Status status, absl::Duration delay) {
  google::rpc::RetryInfo detail;
  SetDelay(detail, delay);
  AddDetail(status, detail);
  return status;
}

google::rpc::Status RichStatus(const absl::Status& status) {
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(CleanText(std::string(status.message()), kMaxEncodedMessage));
  const std::string retry_url = TypeUrl(google::rpc::RetryInfo());
  bool has_retry = false;
  const auto add = [&](const std::string& url, const std::string& bytes) {
    if (rich.ByteSizeLong() + url.size() + bytes.size() + 16 > kMaxDetails) return;
    auto* any = rich.add_details();
    any->set_type_url(url);
    any->set_value(bytes);
    has_retry |= url == retry_url;
  };
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { add(std::string(url), std::string(payload)); });
  if (WantsRetry(status.code()) && !has_retry) {
    google::rpc::RetryInfo retry;
    SetDelay(retry, kDefaultRetry);
    add(retry_url, retry.SerializeAsString());
  }
  return rich;
}

}  // namespace guildhall
