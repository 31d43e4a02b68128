#include "server/grpc/credentials.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kMaxPemBytes = size_t{1} << 20;

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Bytes = std::unique_ptr<BIO, Deleter<BIO, BIO_free_all>>;

Bytes BytesOf(const std::string& text) {
  return Bytes(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Certificate ReadCertificate(const std::string& pem) {
  return Certificate(PEM_read_bio_X509(BytesOf(pem).get(), nullptr, nullptr, nullptr));
}

absl::Status CheckPair(const TlsConfig& tls, std::string_view key, const std::string& certificate_pem,
                       const std::string& key_pem) {
  const auto error = [&](std::string_view member, std::string_view why) {
    ERR_clear_error();
    return absl::InvalidArgumentError(StrCat(key, ".tls.", member, ": ", why));
  };
  const Certificate certificate = ReadCertificate(certificate_pem);
  if (certificate == nullptr)
    return error("certificate", StrCat(tls.certificate, " has no certificate in PEM"));
  // Without a phrase: a key that wants one is refused instead of asking the terminal.
  char no_phrase[] = "";
  const PrivateKey private_key(PEM_read_bio_PrivateKey(BytesOf(key_pem).get(), nullptr, nullptr, no_phrase));
  if (private_key == nullptr)
    return error("key", StrCat(tls.key, " has no private key in PEM, without a phrase"));
  if (X509_check_private_key(certificate.get(), private_key.get()) == 1) return absl::OkStatus();
  return error("key", StrCat(tls.key, " does not belong to the certificate ", tls.certificate));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ListenerCredentials(const TlsConfig& tls,
                                                                             std::string_view key) {
  if (!tls.enabled()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(tls.mutual()
                                                ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  GH_ASSIGN_OR_RETURN(pair.private_key, ReadSmallFile(tls.key, kMaxPemBytes));
  GH_ASSIGN_OR_RETURN(pair.cert_chain, ReadSmallFile(tls.certificate, kMaxPemBytes));
  GH_RETURN_IF_ERROR(CheckPair(tls, key, pair.cert_chain, pair.private_key));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  if (tls.mutual()) {
    GH_ASSIGN_OR_RETURN(options.pem_root_certs, ReadSmallFile(tls.client_ca, kMaxPemBytes));
    if (ReadCertificate(options.pem_root_certs) == nullptr) {
      ERR_clear_error();
      return absl::InvalidArgumentError(
          StrCat(key, ".tls.client_ca: ", tls.client_ca, " has no certificate in PEM"));
    }
  }
  return grpc::SslServerCredentials(options);
}

}  // namespace guildhall
