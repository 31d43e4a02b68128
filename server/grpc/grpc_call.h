// A call and its messages as gRPC's synchronous API gives them.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/call.h"

namespace guildhall {

// The context outlives it.
class GrpcCall final : public Call {
 public:
  explicit GrpcCall(grpc::ServerContext& context) : context_(context) {}

  absl::Time deadline() const override;
  bool cancelled() const override { return context_.IsCancelled(); }
  void Cancel() override { context_.TryCancel(); }
  std::string peer() const override { return context_.peer(); }
  std::optional<std::string> authorization() const override;

 private:
  grpc::ServerContext& context_;
};

template <typename Message>
class GrpcSink final : public MessageSink<Message> {
 public:
  explicit GrpcSink(grpc::ServerWriter<Message>& writer) : writer_(writer) {}
  bool Write(const Message& message) override { return writer_.Write(message); }

 private:
  grpc::ServerWriter<Message>& writer_;
};

}  // namespace guildhall
