#include "server/http/http_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/guarded.h"
#include "server/http/error_answer.h"

namespace guildhall {
namespace {

constexpr size_t kMaxPemBytes = 1 << 20;
constexpr size_t kMaxIdBytes = 128;
constexpr double kUserTimeoutS = 20.0;  // until bytes that nobody acknowledges end a connection

uint64_t Milliseconds(double seconds) {
  return static_cast<uint64_t>(seconds * 1000.0);
}

gh_http_text TextOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string StringOf(const gh_http_text& text) {
  return std::string(reinterpret_cast<const char*>(text.data), text.size);
}

// The library's threads move bytes; what answers has others.
uint32_t NumThreads() {
  return std::clamp(std::thread::hardware_concurrency() / 8, 1u, 4u);
}

// Ids of different servers differ.
std::string RandomPrefix() {
  std::random_device device;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string prefix = "req-";
  for (int i = 0; i < 12; ++i) prefix += kDigits[device() % 16];
  return prefix + "-";
}

// Of a header that goes back as it came, and into logs.
bool ServesAsId(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\';
  });
}

absl::StatusOr<std::string> ReadPem(const std::string& path, std::string_view key) {
  if (path.empty()) return std::string();
  auto pem = ReadSmallFile(path, kMaxPemBytes);
  if (pem.ok()) return pem;
  return absl::InvalidArgumentError(StrCat(key, ": ", pem.status().message()));
}

// What was wrong with a request before it was whole.
absl::Status ProblemStatus(int32_t problem, const HttpConfig& http) {
  switch (problem) {
    case kGhHttpWell:
      return absl::OkStatus();
    case kGhHttpBodyTooLarge:
      return WithHttpStatus(absl::InvalidArgumentError(StrCat("the request's body has more than ",
                                                              http.body_bytes, " bytes (http.body_bytes)")),
                            413);
    case kGhHttpBodyTooSlow:
      return WithHttpStatus(
          absl::DeadlineExceededError(StrCat("the request's body was not there after ", http.body_timeout_s,
                                             " s (http.body_timeout_s)")),
          408);
    case kGhHttpHeadersTooLarge:
      return WithHttpStatus(
          absl::InvalidArgumentError(StrCat("the request's headers have more than ", http.header_bytes,
                                            " bytes (http.header_bytes)")),
          431);
    case kGhHttpNoMemory:
      return absl::UnavailableError(StrCat("the bodies of open requests take ", http.memory_quota_bytes,
                                           " bytes (http.memory_quota_bytes); try again later"));
    default:
      return absl::InvalidArgumentError("the request's body cannot be read: its framing is broken");
  }
}

HttpRequest Copy(const gh_http_request& request) {
  HttpRequest copy;
  copy.method = StringOf(request.method);
  copy.path = StringOf(request.path);
  copy.headers.reserve(request.header_count);
  for (size_t i = 0; i < request.header_count; ++i) {
    const gh_http_header& header = request.headers[i];
    copy.headers.emplace_back(StringOf(header.name), StringOf(header.value));
  }
  copy.body = StringOf(request.body);
  copy.peer = StringOf(request.peer);
  return copy;
}

}  // namespace

HttpServer::HttpServer(HttpServerOptions options, ListenerCounts& counts)
    : options_(std::move(options)),
      connections_(options_.connections, counts),
      limits_(options_.calls),
      id_prefix_(RandomPrefix()),
      threads_(options_.threads) {}

absl::Status HttpServer::StartLibrary() {
  const HttpConfig& http = options_.http;
  const std::string tls = options_.key + ".tls";
  GH_ASSIGN_OR_RETURN(const std::string certificate, ReadPem(http.tls.certificate, tls + ".certificate"));
  GH_ASSIGN_OR_RETURN(const std::string key, ReadPem(http.tls.key, tls + ".key"));
  GH_ASSIGN_OR_RETURN(const std::string client_ca, ReadPem(http.tls.client_ca, tls + ".client_ca"));
  gh_http_options options{};
  options.threads = NumThreads();
  options.streams = static_cast<uint32_t>(options_.connections.calls);
  options.header_bytes = static_cast<uint64_t>(http.header_bytes);
  options.body_bytes = static_cast<uint64_t>(http.body_bytes);
  options.memory_bytes = static_cast<uint64_t>(http.memory_quota_bytes);
  options.header_ms = Milliseconds(http.header_timeout_s);
  options.body_ms = Milliseconds(http.body_timeout_s);
  options.idle_ms = Milliseconds(http.idle_timeout_s);
  options.stall_ms = Milliseconds(options_.stall_s);
  options.ping_ms = Milliseconds(options_.ping_s);
  options.certificates = TextOf(certificate);
  options.key = TextOf(key);
  options.client_ca = TextOf(client_ca);
  options.context = this;
  options.on_request = [](void* server, gh_http_call* call, const gh_http_request* request) {
    static_cast<HttpServer*>(server)->OnRequest(call, *request);
  };
  std::array<char, 512> error{};
  library_ = gh_http_start(&options, error.data(), error.size());
  if (library_ != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(tls, ": ", error.data()));
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                              const MakeRoutes& make_routes,
                                                              ListenerCounts& counts) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(options), counts));
  const HttpServerOptions& served = server->options_;
  ListenOptions listen;
  listen.address = served.address;
  listen.key = served.key + ".listen";
  listen.user_timeout_ms = static_cast<int>(Milliseconds(kUserTimeoutS));
  listen.socket_group = served.http.socket_group;
  GH_ASSIGN_OR_RETURN(ListenSockets sockets, Listen(listen));
  server->port_ = sockets.port;
  server->routes_ = make_routes(server->health_, server->threads_);
  GH_RETURN_IF_ERROR(server->StartLibrary());
  GH_ASSIGN_OR_RETURN(server->acceptor_, Acceptor::Start(
                                             std::move(sockets), server->connections_, counts,
                                             [raw = server.get()](int fd) { raw->HandOver(fd); }, [] {}));
  return server;
}

HttpServer::~HttpServer() {
  Shutdown(absl::Now());
}

std::string HttpServer::Target() const {
  ListenAddress address = options_.address;
  if (!address.unix_socket()) address.port = port_;
  return address.Text();
}

std::string_view HttpServer::protection() const {
  return options_.http.tls.mutual() ? "mutual TLS" : options_.http.tls.enabled() ? "TLS" : "no TLS";
}

void HttpServer::HandOver(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  const bool known = getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const std::string peer = known ? PeerOf(address).name : std::string();
  gh_http_serve(library_, fd, options_.address.unix_socket(), TextOf(peer));
}

absl::StatusOr<const HttpRoute*> HttpServer::Find(const HttpRequest& request) const {
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  const HttpRoute* other = nullptr;
  for (const HttpRoute& route : routes_) {
    const bool below = route.path.back() == '/';
    const bool here = below ? request.path.size() > route.path.size() && request.path.starts_with(route.path)
                            : request.path == route.path;
    if (here && route.method == method) return &route;
    if (here) other = &route;
  }
  const std::string path = Quote(request.path);
  if (other == nullptr) return absl::NotFoundError(StrCat("this listener has no path ", path));
  return MethodNotAllowed(StrCat(path, " takes ", other->method, ", not ", Quote(request.method)),
                          other->method);
}

// On a thread of the library, across whose border no exception goes.
void HttpServer::OnRequest(gh_http_call* handle, const gh_http_request& request) {
  std::shared_ptr<HttpCall> call;
  const absl::Status begun = Guarded([&]() -> absl::Status {
    HttpRequest copy = Copy(request);
    const std::string* const given = copy.Header("x-request-id");
    copy.id = given != nullptr && ServesAsId(*given) ? *given : StrCat(id_prefix_, next_id_.fetch_add(1));
    const absl::StatusOr<const HttpRoute*> found = Find(copy);
    const HttpRoute* const route = found.ok() ? *found : nullptr;
    absl::Status refusal;
    ConnectionTable::Ticket ticket =
        connections_.Enter(copy.peer, route == nullptr ? CallKind::kQuery : route->kind, refusal);
    refusal.Update(found.status());
    refusal.Update(ProblemStatus(request.problem, options_.http));
    call = std::make_shared<HttpCall>(handle, std::move(copy), std::move(ticket), [this] { Left(); });
    handle = nullptr;
    {
      const std::lock_guard lock(calls_mutex_);
      ++calls_;
    }
    Admit(call, route, std::move(refusal));
    return absl::OkStatus();
  });
  if (begun.ok()) return;
  if (call != nullptr) call->RespondError(begun);
  if (handle != nullptr) gh_http_end(handle, false);
}

void HttpServer::Admit(const std::shared_ptr<HttpCall>& call, const HttpRoute* route, absl::Status refusal) {
  if (refusal.ok() && route->kind == CallKind::kHealth) return route->answer(call);
  if (refusal.ok()) {
    auto counted = limits_.Enter(route->kind, call->request().peer);
    refusal = counted.status();
    if (counted.ok()) {
      call->Hold(*std::move(counted));
      refusal = threads_.Run([call, route] { route->answer(call); });
    }
  }
  if (refusal.ok()) return;
  if (absl::IsResourceExhausted(refusal)) call->CountRefusal();
  call->RespondError(refusal);
}

void HttpServer::Left() {
  const std::lock_guard lock(calls_mutex_);
  if (--calls_ == 0) no_calls_.notify_all();
}

void HttpServer::Shutdown(absl::Time deadline) {
  if (library_ == nullptr) return;
  // Before the socket is closed: another server may have one of its own there afterwards.
  if (options_.address.unix_socket()) unlink(options_.address.unix_path.c_str());
  if (acceptor_ != nullptr) acceptor_->StopListening();
  gh_http_drain(library_);
  connections_.AwaitEnd(deadline);
  acceptor_.reset();  // hands nothing over any more
  gh_http_free(std::exchange(library_, nullptr));
  std::unique_lock lock(calls_mutex_);
  no_calls_.wait(lock, [this] { return calls_ == 0; });
}

}  // namespace guildhall
