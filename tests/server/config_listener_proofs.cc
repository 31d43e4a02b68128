// The keys of the listeners, of limits of clients and connections, and of the log.
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>

#include "tests/server/config_proofs.h"
#include "tests/support/http2_client.h"

namespace guildhall {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

const std::string kData = GUILDHALL_SOURCE_DIR "/tests/server/data/";

std::unique_ptr<http2::Client> Connect(TestServer& server) {
  auto client = http2::Client::Connect(InferenceTarget(server.server()));
  CHECK(client.ok());
  return *std::move(client);
}

// A server does not start with it.
void Refused(Proofs& proofs, const std::string& key, const Proofs::Change& set) {
  proofs.Add(key, std::function<bool()>([set] {
               ServerConfig config = TestConfig();
               CHECK(StartServer(config).ok());
               set(config);
               return !StartServer(config).ok();
             }));
}

void ProveListeners(Proofs& proofs) {
  for (const char* key : {"server.listen", "admin.listen"}) {
    proofs.Test(key, "server/lifecycle_test.cc", "Unix sockets: taken by one server only");
  }
  for (std::string TlsConfig::*file : {&TlsConfig::certificate, &TlsConfig::key, &TlsConfig::client_ca}) {
    const std::string name = file == &TlsConfig::certificate ? "certificate"
                             : file == &TlsConfig::key       ? "key"
                                                             : "client_ca";
    TlsConfig tls{kData + "server.crt", kData + "server.key", kData + "authority.crt"};
    tls.*file = "/nowhere";
    Refused(proofs, "server.tls." + name, [tls](ServerConfig& config) { config.server.tls = tls; });
    Refused(proofs, "admin.tls." + name, [tls](ServerConfig& config) { config.admin.tls = tls; });
    Refused(proofs, "http.tls." + name, [tls](ServerConfig& config) {
      config.http.listen = "127.0.0.1:0";
      config.http.tls = tls;
    });
  }
  Refused(proofs, "server.socket_group", [](ServerConfig& config) {
    config.server.listen = "unix:guildhall_of_no_group";
    config.server.socket_group = "no such group";
  });
  proofs.Test("server.idle_timeout_s", "server/grpc/door_test.cc", "an idle connection is closed after");
  proofs.Test("server.request_timeout_s", "server/grpc/door_test.cc", "a call without its message ends");
  proofs.Test("server.reflection", "server/grpc/door_test.cc", "the clients' listener tells its interface");
  proofs.Test("server.drain_limit_s", "server/lifecycle_test.cc", "what is not done at the drain limit");
  proofs.Test("admin.token", "server/lifecycle_test.cc", "the administration listener lets in who knows");
  proofs.Test("admin.token_file", "server/lifecycle_test.cc", "the token may come from a file");
  proofs.Add("admin.enabled", std::function<bool()>([] {
               ServerConfig config = TestConfig();
               const bool before = StartServer(config).value()->listener("administration") != nullptr;
               config.admin.enabled = false;
               return before && StartServer(config).value()->listener("administration") == nullptr;
             }));
}

void ProveHttp(Proofs& proofs) {
  Refused(proofs, "http.socket_group", [](ServerConfig& config) {
    config.http.listen = "unix:guildhall_of_no_group";
    config.http.socket_group = "no such group";
  });
  const std::string listener = "server/http/listener_test.cc", hostile = "server/http/hostile_test.cc";
  proofs.Test("http.listen", listener, "without http.listen there is no");
  proofs.Test("http.model_name", listener, "the base has the configured name");
  proofs.Test("http.connections", hostile, "one address leaves connections to others");
  proofs.Test("http.connections_per_host", hostile, "one address leaves connections to others");
  proofs.Test("http.header_bytes", hostile, "headers over their limit");
  proofs.Test("http.header_timeout_s", hostile, "headers that never end");
  proofs.Test("http.body_bytes", hostile, "a body over its limit is 413");
  proofs.Test("http.body_timeout_s", hostile, "a body that does not come");
  proofs.Test("http.memory_quota_bytes", hostile, "bodies share a quota");
  proofs.Test("http.idle_timeout_s", hostile, "a connection without requests is closed");
  proofs.Test("http.comment_interval_s", "server/http/chat_test.cc", "a comment comes while");
  proofs.Test("http.choices", "server/http/completion_test.cc", "a request has only so many answers");
}

// Whether a connection that has an open call and says nothing is pinged, or closed as it does not answer. At
// first gRPC pings to measure the connection, which is not meant.
bool SilenceIsSeen(const KeepaliveConfig& keepalive, bool answers) {
  ServerConfig config = TestConfig();
  config.server.keepalive = keepalive;
  TestServer server(EffectModel(), config);
  const auto client = Connect(server);
  client->Begin({}, answers);
  if (!answers) client->Send(http2::SettingsAck());
  client->Call("/grpc.health.v1.Health/Watch", "");
  const auto begin = Clock::now();
  while (Clock::now() < begin + std::chrono::seconds(15)) {
    const auto frame = client->Receive(milliseconds(50));
    if (client->closed() || (frame && frame->type == http2::FrameType::kGoAway)) return !answers;
    const bool ping = frame && frame->type == http2::FrameType::kPing && (frame->flags & http2::kAck) == 0;
    if (answers && ping && Clock::now() > begin + milliseconds(700)) return true;
  }
  return false;
}

// Whether so many pings, 150 ms apart, are too many.
std::string SeenByPings(TestServer& server, int pings) {
  const auto client = Connect(server);
  client->Begin();
  client->Call("/grpc.health.v1.Health/Watch", "");
  for (int i = 0; i < pings; ++i) {
    client->Send(http2::Ping());
    for (const auto end = Clock::now() + milliseconds(150); Clock::now() < end;) {
      const auto frame = client->Receive(milliseconds(30));
      if (frame && frame->type == http2::FrameType::kGoAway) return "too many";
    }
  }
  return "served";
}

void ProveConnections(Proofs& proofs) {
  // Far sooner than by the defaults, which are 45 s and 20 s, and 10 s for a handshake.
  proofs.Add("server.keepalive.time_s",
             std::function<bool()>([] { return SilenceIsSeen({.time_s = 1.0}, true); }));
  proofs.Add("server.keepalive.timeout_s",
             std::function<bool()>([] { return SilenceIsSeen({.time_s = 1.0, .timeout_s = 1.0}, false); }));
  proofs.Add("server.handshake_timeout_s", std::function<bool()>([] {
               ServerConfig config = TestConfig();
               config.server.handshake_timeout_s = 0.1;
               TestServer server(EffectModel(), config);
               return Connect(server)->AwaitClose(milliseconds(5000));
             }));
  proofs.Served(
      "server.keepalive.min_ping_interval_s",
      [](ServerConfig& config) { config.server.keepalive.min_ping_interval_s = 0.1; },
      [](TestServer& server) { return SeenByPings(server, 6); });
  proofs.Add("server.memory_quota_bytes", Unseen{"gRPC reads more slowly; no answer is another one"});
  proofs.Test("limits.streams_per_connection", "server/grpc/limits_test.cc", "4096 calls may wait");
  proofs.Test("limits.connections", "server/grpc/door_test.cc", "more connections than the limit");
  proofs.Served(
      "limits.resets_per_second", [](ServerConfig& config) { config.limits.resets_per_second = 1e5; },
      [](TestServer& server) {
        const auto client = Connect(server);
        client->Begin();
        const std::string block = http2::HeaderBlock(http2::CallFields("/guildhall.v1.Inference/Generate"));
        std::string bytes;
        for (uint32_t stream = 1; stream < 2000; stream += 2) {
          bytes += http2::Headers(stream, block) + http2::Reset(stream, http2::kCancel);
        }
        client->Send(bytes);
        return client->AwaitClose(milliseconds(500)) ? "closed" : "open";
      });
  proofs.Served(
      "limits.connections_per_host", [](ServerConfig& config) { config.limits.connections_per_host = 1; },
      [](TestServer& server) {
        // Both have an open call, so that none makes room for the other.
        const auto first = Connect(server), second = Connect(server);
        std::string seen;
        for (const auto& client : {first.get(), second.get()}) {
          client->Begin();
          client->Call("/grpc.health.v1.Health/Watch", "");
          seen += client->AwaitClose(milliseconds(300)) ? "closed " : "open ";
        }
        return seen;
      });
}

void ProveClients(Proofs& proofs) {
  proofs.Test("limits.concurrent_requests", "server/errors_test.cc", "the cap on open calls holds before");
  proofs.Test("limits.request_memory_bytes", "server/request_memory_test.cc",
              "what does not fit beside the others is told to come again");
  proofs.Served(
      "limits.concurrent_requests_per_host",
      [](ServerConfig& config) { config.limits.concurrent_requests_per_host = 1; },
      [](TestServer& server) {
        const auto stub = server.Inference();
        grpc::ClientContext open;
        const auto reader = stub->Generate(&open, IdRequest(kRepeats, 4000));
        v1::GenerateResponse response;
        CHECK(reader->Read(&response));
        const std::string seen = Seen(*stub, IdRequest(kEnds, 1));
        open.TryCancel();
        while (reader->Read(&response)) {
        }
        reader->Finish();
        return seen;
      });
  proofs.Served(
      "limits.metadata_bytes", [](ServerConfig& config) { config.limits.metadata_bytes = 1024; },
      [](TestServer& server) {
        grpc::ClientContext context;
        context.AddMetadata("x", std::string(4000, 'a'));
        v1::ListTasksResponse tasks;
        return std::to_string(server.Inference()->ListTasks(&context, {}, &tasks).error_code());
      });
}

void ProveLog(Proofs& proofs) {
  for (const char* key : {"log.level", "log.format"}) {
    proofs.Test(key, "e2e/command_test.cc", "the log has the configured level and format");
  }
  for (const char* key : {"log.requests", "log.prompts"}) {
    proofs.Test(key, "e2e/serve_test.cc", "the log has a line for each request, and its text");
  }
}

}  // namespace

void ProveListenerKeys(Proofs& proofs) {
  ProveListeners(proofs), ProveHttp(proofs), ProveConnections(proofs), ProveClients(proofs), ProveLog(proofs);
}

}  // namespace guildhall
