// Calls that no gRPC client would make, on connections that speak HTTP/2 by hand.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/http2_client.h"

namespace guildhall {

inline constexpr std::string_view kGenerate = "/guildhall.v1.Inference/Generate";
inline constexpr std::string_view kTokenize = "/guildhall.v1.Inference/Tokenize";
inline constexpr std::string_view kReflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
inline constexpr std::string_view kWatch = "/grpc.health.v1.Health/Watch";
inline constexpr std::string_view kCheck = "/grpc.health.v1.Health/Check";

inline std::unique_ptr<http2::Client> Connect(const std::string& target) {
  auto client = http2::Client::Connect(target);
  REQUIRE(client.ok());
  REQUIRE((*client)->Begin());
  return *std::move(client);
}

}  // namespace guildhall
