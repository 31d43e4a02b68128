#include "client/channel.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <iterator>

namespace guildhall {
namespace {

std::string ReadFile(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void AddSecurityFlags(CLI::App& command, Connection& connection) {
  command.add_option("--tls-ca", connection.ca_file, "use TLS and trust this certificate authority (PEM)")
      ->envname("GUILDHALL_CLIENT_TLS_CA")
      ->check(CLI::ExistingFile);
  command.add_option("--tls-cert", connection.cert_file, "own certificate for mutual TLS (PEM)")
      ->envname("GUILDHALL_CLIENT_TLS_CERT")
      ->check(CLI::ExistingFile);
  command.add_option("--tls-key", connection.key_file, "own key for mutual TLS (PEM)")
      ->envname("GUILDHALL_CLIENT_TLS_KEY")
      ->check(CLI::ExistingFile);
  command.add_option("--token", connection.token, "bearer token (better in GUILDHALL_CLIENT_TOKEN)")
      ->envname("GUILDHALL_CLIENT_TOKEN");
  command.add_option("--token-file", connection.token_file, "file that holds the bearer token")
      ->envname("GUILDHALL_CLIENT_TOKEN_FILE")
      ->check(CLI::ExistingFile);
  command
      .add_option("--timeout", connection.timeout_seconds,
                  "seconds until the call is given up; 0 waits for ever")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

// Without the line's end that editors put behind it.
std::string TokenOf(const Connection& connection) {
  if (!connection.token.empty()) return connection.token;
  std::string token = ReadFile(connection.token_file);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  return token;
}

}  // namespace

void AddConnectionFlags(CLI::App& command, Connection& connection, const std::string& default_server) {
  connection.server = default_server;
  command.add_option("-s,--server", connection.server, "host:port or unix:/path")
      ->envname("GUILDHALL_CLIENT_SERVER")
      ->capture_default_str();
  AddSecurityFlags(command, connection);
}

void AddAdminFlags(CLI::App& command, Connection& connection) {
  connection.server = "127.0.0.1:50052";
  command
      .add_option("-a,--admin,-s,--server", connection.server,
                  "the administration listener: host:port or unix:/path")
      ->envname("GUILDHALL_CLIENT_ADMIN")
      ->capture_default_str();
  AddSecurityFlags(command, connection);
}

std::shared_ptr<grpc::Channel> OpenChannel(const Connection& connection) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  auto credentials = grpc::InsecureChannelCredentials();
  if (!connection.ca_file.empty()) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ReadFile(connection.ca_file);
    options.pem_cert_chain = ReadFile(connection.cert_file);
    options.pem_private_key = ReadFile(connection.key_file);
    credentials = grpc::SslCredentials(options);
  }
  return grpc::CreateCustomChannel(connection.server, credentials, arguments);
}

void PrepareContext(const Connection& connection, grpc::ClientContext& context) {
  if (connection.timeout_seconds > 0.0) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(
                                                                connection.timeout_seconds * 1000.0)));
  }
  const std::string token = TokenOf(connection);
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
}

}  // namespace guildhall
