// One HTTP request with its answer, and what it takes of its listener's limits.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/call.h"
#include "server/call_limits.h"
#include "server/http/http_headers.h"
#include "server/http/rust/guildhall_http.h"
#include "server/net/connection_table.h"

namespace guildhall {

struct HttpRequest {
  std::string method, path;
  HttpHeaders headers;  // names in lower case
  std::string body;
  std::string peer;  // as Call::peer; "" for Unix sockets
  std::string id;    // what the client named it, or its own

  // Null: there is none of that name.
  const std::string* Header(std::string_view name) const;
};

// Answered once: by Respond, or by BeginStream, Send and End. Thread-safe, but for its answer, which one
// thread at a time gives. One that goes without an answer breaks its connection off.
class HttpCall final : public Call {
 public:
  // Takes over the handle. `left` is called when the call is gone.
  HttpCall(gh_http_call* handle, HttpRequest request, ConnectionTable::Ticket ticket,
           std::function<void()> left);
  ~HttpCall() override;

  const HttpRequest& request() const { return request_; }
  // What it brought; it is not kept.
  std::string TakeBody() { return std::move(request_.body); }
  // Held until the answer has ended.
  void Hold(CallLimits::Ticket counted) { counted_.push_back(std::move(counted)); }
  // A header of the answer, whatever it will be.
  void AddHeader(std::string name, std::string value);

  void Respond(int status, std::string_view content_type, std::string_view body);
  // The error as the client's library reads it.
  void RespondError(const absl::Status& status);
  // `filler` is sent when nothing else has been for so long.
  void BeginStream(std::string_view content_type, std::string_view filler, absl::Duration every);
  // One at a time. `taken` is called once, also from inside, when the connection has taken it; false: the
  // client is gone.
  void Send(std::string_view data, std::function<void(bool)> taken);
  // Of a stream; not `complete`: the client sees it broken off.
  void End(bool complete);

  // It was refused for a limit of its listener or its connection.
  void CountRefusal() const { ticket_.CountRefusal(); }

  absl::Time deadline() const override { return absl::InfiniteFuture(); }
  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }
  void Cancel() override;
  void OnCancelled(std::function<void()> listener) override;
  std::string peer() const override { return request_.peer.empty() ? "unix:" : request_.peer; }
  std::optional<std::string> authorization() const override;

 private:
  void Gone();
  void BeginAnswer(int status, std::string_view content_type, std::string_view body, bool more,
                   uint64_t filler_ms);

  std::mutex handle_mutex_;  // Cancel comes from anywhere, also beside the end
  gh_http_call* handle_;     // null: it has ended
  HttpRequest request_;
  HttpHeaders headers_;  // of the answer
  ConnectionTable::Ticket ticket_;
  std::vector<CallLimits::Ticket> counted_;
  const std::function<void()> left_;
  std::atomic<bool> cancelled_{false}, cancelled_here_{false};
  std::mutex listener_mutex_;
  std::function<void()> listener_;
};

}  // namespace guildhall
