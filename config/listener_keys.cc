// The keys of the listeners and of the log.
#include "config/key_group.h"

namespace guildhall {
namespace {

void AddTlsKeys(KeyGroup<ServerConfig, TlsConfig> tls) {
  tls.Add("certificate", "PEM file; enables TLS", &TlsConfig::certificate).file = true;
  tls.Add("key", "PEM file", &TlsConfig::key).file = true;
  tls.Add("client_ca", "PEM file; clients must show a certificate of it", &TlsConfig::client_ca).file = true;
}

void AddServerKeys(KeyGroup<ServerConfig, ListenerConfig> server) {
  server.Add("listen", "HOST:PORT or unix:PATH of the clients' listener", &ListenerConfig::listen);
  AddTlsKeys(server.Inside("tls", &ListenerConfig::tls));
  auto keepalive = server.Inside("keepalive", &ListenerConfig::keepalive);
  keepalive.Add("time_s", "seconds between pings", &KeepaliveConfig::time_s, {1, 86400});
  keepalive.Add("timeout_s", "seconds until an unanswered ping ends the connection",
                &KeepaliveConfig::timeout_s, {1, 3600});
  keepalive.Add("min_ping_interval_s", "a client may ping as often", &KeepaliveConfig::min_ping_interval_s,
                {0.1, 3600});
  server.Add("handshake_timeout_s", "seconds for a connection's handshake",
             &ListenerConfig::handshake_timeout_s, {0.1, 600});
  server.Add("idle_timeout_s", "seconds until a connection without calls is closed",
             &ListenerConfig::idle_timeout_s, {1, 86400});
  server.Add("request_timeout_s", "seconds until the message of a call must be there",
             &ListenerConfig::request_timeout_s, {1, 3600});
  server.Add("reflection", "tell clients the interface (grpc.reflection)", &ListenerConfig::reflection);
  server.Add("socket_group",
             "group whose members may connect to the clients' Unix socket; empty: the process's own",
             &ListenerConfig::socket_group);
  server.Add("drain_limit_s", "seconds that running requests get at shutdown", &ListenerConfig::drain_limit_s,
             {0, 86400});
  constexpr double kMiB = 1 << 20;
  server.Add("memory_quota_bytes", "memory of gRPC's buffers", &ListenerConfig::memory_quota_bytes,
             {kMiB, kMiB * kMiB});
}

void AddHttpKeys(KeyGroup<ServerConfig, HttpConfig> http) {
  http.Add("listen", "HOST:PORT or unix:PATH of the listener for HTTP, OpenAI's interface; empty: none",
           &HttpConfig::listen);
  AddTlsKeys(http.Inside("tls", &HttpConfig::tls));
  http.Add("socket_group", "group whose members may connect to its Unix socket; empty: the process's own",
           &HttpConfig::socket_group);
  http.Add("model_name", "what clients call the base model; empty: as its folder", &HttpConfig::model_name);
  http.Add("connections", "most connections open at a time; 0: what the descriptors allow",
           &HttpConfig::connections, {0, 1 << 20});
  http.Add("connections_per_host", "the same, of one address; 0: seven eighths of them",
           &HttpConfig::connections_per_host, {0, 1 << 20});
  constexpr double kMiB = 1 << 20;
  http.Add("header_bytes", "of one request's headers", &HttpConfig::header_bytes, {8192, kMiB});
  http.Add("body_bytes", "of one request's body", &HttpConfig::body_bytes, {1024, 1024 * kMiB});
  http.Add("memory_quota_bytes", "memory of all bodies until they are answered",
           &HttpConfig::memory_quota_bytes, {kMiB, kMiB * kMiB});
  http.Add("header_timeout_s", "seconds until a request's headers must be there, a handshake included",
           &HttpConfig::header_timeout_s, {0.1, 600});
  http.Add("body_timeout_s", "seconds until a request's body must be there", &HttpConfig::body_timeout_s,
           {0.1, 3600});
  http.Add("idle_timeout_s", "seconds until a connection without requests is closed",
           &HttpConfig::idle_timeout_s, {1, 86400});
  http.Add("comment_interval_s", "seconds between comments in a stream that has nothing to say",
           &HttpConfig::comment_interval_s, {0.05, 3600});
  http.Add("choices", "most answers of one request: its prompts times n", &HttpConfig::choices, {1, 4096});
}

void AddAdminKeys(KeyGroup<ServerConfig, AdminConfig> admin) {
  admin.Add("enabled", "serve the administration listener", &AdminConfig::enabled);
  admin.Add("listen",
            "HOST:PORT or unix:PATH; elsewhere than loopback only with a token over TLS, or mutual TLS",
            &AdminConfig::listen);
  admin.Add("token", "every administration call must bring it", &AdminConfig::token).secret = true;
  admin.Add("token_file", "file that holds the token", &AdminConfig::token_file).file = true;
  AddTlsKeys(admin.Inside("tls", &AdminConfig::tls));
}

void AddLogKeys(KeyGroup<ServerConfig, LogConfig> log) {
  log.Add("level", "least severe level that is logged", &LogConfig::level).choices = {
      "trace", "debug", "info", "warn", "error", "off"};
  log.Add("format", "text, or one JSON object per line", &LogConfig::format).choices = {"text", "json"};
  log.Add("requests", "one line per request", &LogConfig::requests);
  log.Add("prompts", "log prompts and answers: for debugging only", &LogConfig::prompts);
}

}  // namespace

void AddListenerKeys(KeyList<ServerConfig>& keys) {
  const KeyGroup<ServerConfig, ServerConfig> root = RootGroup(keys);
  AddServerKeys(root.Inside("server", &ServerConfig::server));
  AddHttpKeys(root.Inside("http", &ServerConfig::http));
  AddAdminKeys(root.Inside("admin", &ServerConfig::admin));
  AddLogKeys(root.Inside("log", &ServerConfig::log));
}

}  // namespace guildhall
