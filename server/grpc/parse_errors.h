// Messages that protobuf cannot read are the client's mistake, and are told so.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <vector>

namespace guildhall {

// gRPC answers a message that does not parse (text that is not UTF-8 above all) with INTERNAL and no text.
// This turns it into INVALID_ARGUMENT that says what to look for. Every INTERNAL of our own has a text.
std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> ParseErrorInterceptors();

}  // namespace guildhall
