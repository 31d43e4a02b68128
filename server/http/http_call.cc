#include "server/http/http_call.h"

#include <algorithm>

#include "server/http/error_answer.h"

namespace guildhall {
namespace {

gh_http_text TextOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

const std::string* HttpRequest::Header(std::string_view name) const {
  const auto at =
      std::find_if(headers.begin(), headers.end(), [&](const auto& header) { return header.first == name; });
  return at == headers.end() ? nullptr : &at->second;
}

HttpCall::HttpCall(gh_http_call* handle, HttpRequest request, ConnectionTable::Ticket ticket,
                   std::function<void()> left)
    : handle_(handle), request_(std::move(request)), ticket_(std::move(ticket)), left_(std::move(left)) {
  AddHeader("x-request-id", request_.id);
  gh_http_watch(
      handle_, [](void* call) { static_cast<HttpCall*>(call)->Gone(); }, this);
}

HttpCall::~HttpCall() {
  End(false);
  ticket_.Leave(cancelled_ && !cancelled_here_);
  left_();
}

void HttpCall::AddHeader(std::string name, std::string value) {
  headers_.emplace_back(std::move(name), std::move(value));
}

void HttpCall::BeginAnswer(int status, std::string_view content_type, std::string_view body, bool more,
                           uint64_t filler_ms) {
  if (!content_type.empty()) AddHeader("content-type", std::string(content_type));
  std::vector<gh_http_header> headers;
  headers.reserve(headers_.size());
  for (const auto& [name, value] : headers_) headers.push_back({TextOf(name), TextOf(value)});
  gh_http_respond(handle_, static_cast<uint16_t>(status), headers.data(), headers.size(), TextOf(body), more,
                  filler_ms);
}

void HttpCall::Respond(int status, std::string_view content_type, std::string_view body) {
  if (handle_ == nullptr) return;
  counted_.clear();  // before the client knows, who may come again at once
  BeginAnswer(status, content_type, body, /*more=*/false, 0);
  End(true);
}

void HttpCall::RespondError(const absl::Status& status) {
  const ErrorAnswer error = MakeErrorAnswer(status);
  for (const auto& [name, value] : error.headers) AddHeader(name, value);
  Respond(error.status, "application/json", error.body);
}

void HttpCall::BeginStream(std::string_view content_type, std::string_view filler, absl::Duration every) {
  BeginAnswer(200, content_type, filler, /*more=*/true,
              static_cast<uint64_t>(absl::ToInt64Milliseconds(every)));
}

void HttpCall::Send(std::string_view data, std::function<void(bool)> taken) {
  auto* const told = new std::function<void(bool)>(std::move(taken));
  gh_http_write(
      handle_, TextOf(data),
      [](void* context, bool ok) {
        const std::unique_ptr<std::function<void(bool)>> tell(
            static_cast<std::function<void(bool)>*>(context));
        (*tell)(ok);
      },
      told);
}

void HttpCall::End(bool complete) {
  gh_http_call* handle = nullptr;
  {
    const std::lock_guard lock(handle_mutex_);
    handle = std::exchange(handle_, nullptr);
  }
  if (handle == nullptr) return;
  counted_.clear();
  gh_http_end(handle, complete);
}

void HttpCall::Cancel() {
  cancelled_here_ = true;
  const std::lock_guard lock(handle_mutex_);
  if (handle_ != nullptr) gh_http_cancel(handle_);
}

void HttpCall::OnCancelled(std::function<void()> listener) {
  {
    const std::lock_guard lock(listener_mutex_);
    listener_ = listener;
  }
  if (cancelled()) listener();
}

void HttpCall::Gone() {
  cancelled_ = true;
  std::function<void()> listener;
  {
    const std::lock_guard lock(listener_mutex_);
    listener = listener_;
  }
  if (listener) listener();
}

std::optional<std::string> HttpCall::authorization() const {
  const std::string* const given = request_.Header("authorization");
  if (given == nullptr) return std::nullopt;
  return *given;
}

}  // namespace guildhall
