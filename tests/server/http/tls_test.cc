// HTTP over TLS: who gets in, and which protocol is agreed on.
#include <openssl/ssl.h>

#include <catch2/catch.hpp>
#include <memory>

#include "tests/server/http/http_fixture.h"

namespace guildhall {
namespace {

std::string DataPath(const std::string& name) {
  return std::string(GUILDHALL_SOURCE_DIR) + "/tests/server/data/" + name;
}

ServerConfig TlsConfigOf(bool mutual) {
  ServerConfig config = HttpTestConfig();
  config.http.tls.certificate = DataPath("server.crt");
  config.http.tls.key = DataPath("server.key");
  if (mutual) config.http.tls.client_ca = DataPath("authority.crt");
  return config;
}

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* owned) const {
    kFree(owned);
  }
};

// What comes for a request over TLS; "" where there is no connection. `client`: as in
// tests/server/tls_test.cc.
std::string AskOverTls(const std::string& target, const std::string& client,
                       std::string_view protocols = "") {
  const std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
  REQUIRE(SSL_CTX_load_verify_locations(context.get(), DataPath("authority.crt").c_str(), nullptr) == 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (!client.empty()) {
    const std::string certificate = DataPath(client + ".crt"), key = DataPath(client + ".key");
    REQUIRE(SSL_CTX_use_certificate_file(context.get(), certificate.c_str(), SSL_FILETYPE_PEM) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) == 1);
  }
  const std::unique_ptr<BIO, Freed<BIO_free_all>> bio(BIO_new_ssl_connect(context.get()));
  BIO_set_conn_hostname(bio.get(), target.c_str());
  SSL* ssl = nullptr;
  BIO_get_ssl(bio.get(), &ssl);
  const auto* const names = reinterpret_cast<const unsigned char*>(protocols.data());
  if (!protocols.empty()) SSL_set_alpn_protos(ssl, names, static_cast<unsigned>(protocols.size()));
  if (BIO_do_connect(bio.get()) != 1) return "";
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &chosen, &size);
  if (size > 0) return std::string(reinterpret_cast<const char*>(chosen), size);
  const std::string request = http1::RequestText("GET", "/version", "", "connection: close\r\n");
  BIO_write(bio.get(), request.data(), static_cast<int>(request.size()));
  std::string answer;
  char bytes[4096];
  for (int got = 0; (got = BIO_read(bio.get(), bytes, sizeof(bytes))) > 0;) {
    answer.append(bytes, static_cast<size_t>(got));
  }
  return answer;
}

}  // namespace

TEST_CASE("HTTP over TLS serves clients that speak it and no others") {
  TestServer server({}, TlsConfigOf(/*mutual=*/false));
  const std::string target = HttpTarget(server);
  CHECK(server.server().listener("http")->protection() == "TLS");
  CHECK(AskOverTls(target, "").starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(http1::Ask(target, "GET", "/version").status == 0);
}

TEST_CASE("HTTP over TLS agrees on HTTP/2 with clients that can") {
  TestServer server({}, TlsConfigOf(/*mutual=*/false));
  CHECK(AskOverTls(HttpTarget(server), "", "\x02h2\x08http/1.1") == "h2");
  CHECK(AskOverTls(HttpTarget(server), "", "\x08http/1.1") == "http/1.1");
}

TEST_CASE("with a client authority only its certificates get in over HTTP") {
  TestServer server({}, TlsConfigOf(/*mutual=*/true));
  const std::string target = HttpTarget(server);
  CHECK(server.server().listener("http")->protection() == "mutual TLS");
  CHECK(AskOverTls(target, "client").starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK_FALSE(AskOverTls(target, "").starts_with("HTTP"));
  CHECK_FALSE(AskOverTls(target, "intruder").starts_with("HTTP"));
}

TEST_CASE("files that are no certificates of HTTP are refused by their key") {
  ServerConfig config = TlsConfigOf(/*mutual=*/false);
  config.http.tls.certificate = DataPath("server.key");
  CHECK(StartServer(config).status().message() ==
        "http.tls: certificate: expected a certificate in PEM, found none");
  config = TlsConfigOf(/*mutual=*/false);
  config.http.tls.key = DataPath("nothing");
  CHECK(std::string(StartServer(config).status().message()).starts_with("http.tls.key: "));
  config = TlsConfigOf(/*mutual=*/false);
  config.http.tls.key = DataPath("client.key");
  CHECK(std::string(StartServer(config).status().message()).starts_with("http.tls: certificate and key: "));
}

}  // namespace guildhall
