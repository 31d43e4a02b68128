// One HTTP listener: connections come from the acceptor, requests go by the table of routes to what answers
// them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/listen_address.h"
#include "config/server_config.h"
#include "server/call_kind.h"
#include "server/call_limits.h"
#include "server/call_threads.h"
#include "server/http/http_call.h"
#include "server/listener.h"
#include "server/net/acceptor.h"

namespace guildhall {

struct HttpRoute {
  std::string method;  // "GET" answers HEAD, too
  std::string path;    // one that ends in '/' takes all below it
  CallKind kind = CallKind::kQuery;
  // Answers at once or later; it does not throw. Those of kHealth are called on a thread that must not
  // wait.
  std::function<void(std::shared_ptr<HttpCall> call)> answer;
};

// What /readyz and /livez say.
struct HttpHealth {
  std::atomic<bool> ready{false}, live{true};
};

struct HttpServerOptions {
  std::string name;  // of the listener
  std::string key;   // of the configuration, for messages: "http"
  ListenAddress address;
  HttpConfig http;
  double stall_s = 60.0;  // of a client that takes nothing
  double ping_s = 45.0;   // between pings of HTTP/2
  ConnectionLimits connections;
  CallLimits::Options calls;
  int64_t threads = 64;
};

class HttpServer final : public Listener {
 public:
  // Made of the server's health, which lives as long as it.
  using MakeRoutes = std::function<std::vector<HttpRoute>(const HttpHealth& health, CallThreads& threads)>;

  // FAILED_PRECONDITION "port N is in use" and the like; INVALID_ARGUMENT for TLS files that cannot be
  // read. The counts outlive it.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                           const MakeRoutes& make_routes,
                                                           ListenerCounts& counts);
  ~HttpServer() override;  // shuts down at once

  std::string_view name() const override { return options_.name; }
  std::string Target() const override;
  std::string_view protection() const override;
  void SetReady(bool ready) override { health_.ready = ready; }
  void SetLive(bool live) override { health_.live = live; }
  void Shutdown(absl::Time deadline) override;

 private:
  HttpServer(HttpServerOptions options, ListenerCounts& counts);
  absl::Status StartLibrary();
  void HandOver(int fd);
  void OnRequest(gh_http_call* handle, const gh_http_request& request);
  void Admit(const std::shared_ptr<HttpCall>& call, const HttpRoute* route, absl::Status refusal);
  absl::StatusOr<const HttpRoute*> Find(const HttpRequest& request) const;
  void Left();

  const HttpServerOptions options_;
  ConnectionTable connections_;
  HttpHealth health_;
  CallLimits limits_;
  std::vector<HttpRoute> routes_;
  int port_ = 0;  // that was chosen; 0 for Unix sockets
  const std::string id_prefix_;
  std::atomic<uint64_t> next_id_{1};

  std::mutex calls_mutex_;
  std::condition_variable no_calls_;
  int64_t calls_ = 0;

  CallThreads threads_;
  gh_http_server* library_ = nullptr;  // null: shut down
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace guildhall
