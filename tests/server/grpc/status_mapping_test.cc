// The outside form of errors.
#include "server/grpc/status_mapping.h"

#include <catch2/catch.hpp>

#include "server/error_details.h"
#include "tests/server/fixture.h"

namespace guildhall {

TEST_CASE("every code keeps its number and its text") {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status = ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(code), "why"));
    CHECK(status.error_code() == code);
    CHECK(status.error_message() == "why");
    google::rpc::Status rich;
    REQUIRE(rich.ParseFromString(status.error_details()));
    CHECK(rich.code() == code);
    CHECK(rich.message() == "why");
    const bool retry = code == grpc::RESOURCE_EXHAUSTED || code == grpc::UNAVAILABLE;
    CHECK(HasRetry(status) == retry);
  }
  CHECK(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST_CASE("details are what they are called") {
  CHECK(BadField(ToGrpcStatus(FieldError("sampling.top_p", "too much"))) == "sampling.top_p");
  const auto missing = Detail<google::rpc::ResourceInfo>(ToGrpcStatus(MissingResource("task", "x\"y")));
  CHECK(missing.resource_type() == "task");
  CHECK(missing.resource_name() == "x\"y");
  const auto unmet =
      Detail<google::rpc::PreconditionFailure>(ToGrpcStatus(PreconditionError("TOKENIZER", "model", "none")));
  REQUIRE(unmet.violations_size() == 1);
  CHECK(unmet.violations(0).type() == "TOKENIZER");
  const auto retry = Detail<google::rpc::RetryInfo>(
      ToGrpcStatus(WithRetry(absl::UnavailableError("x"), absl::Milliseconds(2500))));
  CHECK(retry.retry_delay().seconds() == 2);
  CHECK(retry.retry_delay().nanos() == 500'000'000);
}

TEST_CASE("no error makes a trailer of 8 KB, and its text stays UTF-8") {
  std::string umlauts;
  for (int i = 0; i < 20'000; ++i) umlauts += "\xc3\xa4";
  for (const std::string& text :
       {std::string(100'000, 'x'), umlauts, std::string(50'000, '\xff'), "a" + umlauts}) {
    const grpc::Status status = ToGrpcStatus(FieldError(text, text));
    size_t encoded = 0;
    for (const char c : status.error_message()) encoded += c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3;
    CHECK(encoded + status.error_details().size() * 4 / 3 < 8192 - 512);
    google::rpc::Status rich;
    CHECK(rich.ParseFromString(status.error_details()));  // parsing checks UTF-8
    CHECK_FALSE(BadField(status).empty());
  }
}

}  // namespace guildhall
