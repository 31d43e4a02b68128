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
  std::string token_file;                  // holds the token; --token beats it
  std::string token;                       // sent as "authorization: Bearer TOKEN"
  double timeout_seconds = 0.0;            // 0: no deadline
};

// Flags --server, --tls-ca, --tls-cert, --tls-key, --token, --token-file, --timeout with their
// GUILDHALL_CLIENT_* variables. `default_server` is the listener that the command talks to.
void AddConnectionFlags(CLI::App& command, Connection& connection, const std::string& default_server);
// The same for the administration listener, which is called --admin and GUILDHALL_CLIENT_ADMIN as well.
void AddAdminFlags(CLI::App& command, Connection& connection);

// INVALID_ARGUMENT in the channel's first call when a certificate file cannot be read.
std::shared_ptr<grpc::Channel> OpenChannel(const Connection& connection);

// The connection's deadline and token on a call's context.
void PrepareContext(const Connection& connection, grpc::ClientContext& context);

}  // namespace guildhall
