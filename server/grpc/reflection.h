// grpc.reflection, v1 and v1alpha, whose messages are the same on the wire.
#pragma once

#include <string>
#include <vector>

#include "server/grpc/method.h"

namespace guildhall {

// Answers from the descriptors that are linked into the program. Thread-safe; outlives its calls.
class Reflection {
 public:
  // `services`: the full names that list_services gives.
  explicit Reflection(std::vector<std::string> services) : services_(std::move(services)) {}

  // The answer to a ServerReflectionRequest, both as bytes; false where it cannot be read.
  bool Answer(grpc::ByteBuffer& request, grpc::ByteBuffer& response) const;

  std::vector<GrpcMethod> Methods() const;

 private:
  const std::vector<std::string> services_;
};

}  // namespace guildhall
