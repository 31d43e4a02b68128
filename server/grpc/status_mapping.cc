#include "server/grpc/status_mapping.h"

#include "server/error_details.h"

namespace guildhall {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rich = RichStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(rich.code()), rich.message(), rich.SerializeAsString());
}

}  // namespace guildhall
