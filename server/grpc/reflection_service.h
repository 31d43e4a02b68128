// grpc.reflection.v1, which the plug-in of gRPC 1.51 does not speak (it has v1alpha only).
#pragma once

#include <string>
#include <vector>

#include "grpc/reflection/v1/reflection.grpc.pb.h"

namespace guildhall {

// Answers from the descriptors that are linked into the program. Thread-safe.
class ReflectionService final : public grpc::reflection::v1::ServerReflection::Service {
 public:
  // `services`: the full names that list_services gives.
  explicit ReflectionService(std::vector<std::string> services) : services_(std::move(services)) {}

  grpc::Status ServerReflectionInfo(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<grpc::reflection::v1::ServerReflectionResponse,
                               grpc::reflection::v1::ServerReflectionRequest>* stream) override;

 private:
  grpc::reflection::v1::ServerReflectionResponse Answer(
      const grpc::reflection::v1::ServerReflectionRequest& request) const;

  const std::vector<std::string> services_;
};

}  // namespace guildhall
