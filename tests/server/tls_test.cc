// Listeners with TLS: who gets in.
#include <catch2/catch.hpp>

#include "base/mapped_file.h"
#include "tests/server/fixture.h"

namespace guildhall {
namespace {

std::string DataPath(const std::string& name) {
  return std::string(GUILDHALL_SOURCE_DIR) + "/tests/server/data/" + name;
}

std::string Data(const std::string& name) {
  auto text = ReadSmallFile(DataPath(name), 1 << 16);
  REQUIRE(text.ok());
  return *std::move(text);
}

TlsConfig ServerTls(bool mutual) {
  TlsConfig tls;
  tls.certificate = DataPath("server.crt");
  tls.key = DataPath("server.key");
  if (mutual) tls.client_ca = DataPath("authority.crt");
  return tls;
}

// `client`: "client", "intruder", or "" without a certificate.
std::shared_ptr<grpc::Channel> SecureChannel(const std::string& target, const std::string& client) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = Data("authority.crt");
  if (!client.empty()) {
    options.pem_private_key = Data(client + ".key");
    options.pem_cert_chain = Data(client + ".crt");
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(options), arguments);
}

grpc::Status Generate(const std::shared_ptr<grpc::Channel>& channel) {
  return Ask(*v1::Inference::NewStub(channel), IdRequest(5, 2), absl::Seconds(10)).status;
}

grpc::Status GetStatus(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  v1::GetStatusResponse response;
  return v1::Admin::NewStub(channel)->GetStatus(&context, {}, &response);
}

}  // namespace

TEST_CASE("TLS serves clients that speak it and no others") {
  ServerConfig config = TestConfig();
  config.server.tls = ServerTls(/*mutual=*/false);
  TestServer server({}, config);
  const std::string target = InferenceTarget(server.server());
  CHECK(Generate(SecureChannel(target, "")).ok());
  CHECK(Generate(grpc::CreateChannel(target, grpc::InsecureChannelCredentials())).error_code() ==
        grpc::UNAVAILABLE);
}

TEST_CASE("mutual TLS lets in certificates of the configured authority only") {
  ServerConfig config = TestConfig();
  config.server.tls = ServerTls(/*mutual=*/true);
  config.admin.tls = ServerTls(/*mutual=*/true);
  TestServer server({}, config);
  const std::string target = InferenceTarget(server.server());
  CHECK(Generate(SecureChannel(target, "client")).ok());
  CHECK(Generate(SecureChannel(target, "")).error_code() == grpc::UNAVAILABLE);
  CHECK(Generate(SecureChannel(target, "intruder")).error_code() == grpc::UNAVAILABLE);
  const std::string admin = AdminTarget(server.server());
  CHECK(GetStatus(SecureChannel(admin, "client")).ok());
  CHECK(GetStatus(SecureChannel(admin, "intruder")).error_code() == grpc::UNAVAILABLE);
}

TEST_CASE("TLS files that cannot be read or do not fit are refused at start") {
  ServerConfig config = TestConfig();
  config.server.tls = ServerTls(false);
  config.server.tls.certificate = DataPath("absent.crt");
  const auto absent = StartServer(config);
  CHECK_THAT(std::string(absent.status().message()), Catch::Contains("absent.crt"));
  config.server.tls = ServerTls(false);
  config.server.tls.certificate = DataPath("make_certificates");  // no certificate
  CHECK_FALSE(StartServer(config).ok());
}

}  // namespace guildhall
