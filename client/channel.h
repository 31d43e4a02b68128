// How the client reaches a server.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace CLI {
class App;
}

namespace guildhall {

struct Connection {
  std::string server = "127.0.0.1:50051";  // host:port or unix:/path
  std::string ca_file;                     // not empty: TLS, trusting this certificate authority
  std::string cert_file, key_file;         // mutual TLS
  std::string token;                       // sent as "authorization: Bearer TOKEN"
  double timeout_seconds = 0.0;            // 0: no deadline
};

// Flags --server, --tls-ca, --tls-cert, --tls-key, --token, --timeout with their GUILDHALL_CLIENT_*
// variables. `default_server` is the listener that the command talks to.
void AddConnectionFlags(CLI::App& command, Connection& connection, const std::string& default_server);

// INVALID_ARGUMENT in the channel's first call when a certificate file cannot be read.
std::shared_ptr<grpc::Channel> OpenChannel(const Connection& connection);

// The connection's deadline and token on a call's context.
void PrepareContext(const Connection& connection, grpc::ClientContext& context);

}  // namespace guildhall
