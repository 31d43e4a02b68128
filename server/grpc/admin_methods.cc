#include "server/grpc/admin_methods.h"

#include "guildhall/v1/admin.pb.h"

namespace guildhall {
namespace {

template <typename Request, typename Response>
GrpcMethod Method(const char* name, const AdminCalls& calls,
                  absl::Status (AdminCalls::*run)(const Request&, const Call&, Response&) const) {
  return UnaryMethod<Request, Response>(
      std::string("/guildhall.v1.Admin/") + name, CallKind::kAdmin,
      [&calls, run](const Request& request, Call& call, Response& response) {
        return (calls.*run)(request, call, response);
      });
}

}  // namespace

std::vector<GrpcMethod> AdminMethods(const AdminCalls& calls) {
  return {
      StreamMethod<v1::LoadAdapterRequest, v1::LoadAdapterResponse>(
          "/guildhall.v1.Admin/LoadAdapter", CallKind::kAdmin,
          [&calls](const auto& request, Call& call, MessageSink<v1::LoadAdapterResponse>& sink) {
            return calls.LoadAdapter(request, call, sink);
          }),
      Method("UnloadAdapter", calls, &AdminCalls::UnloadAdapter),
      Method("ListAdapters", calls, &AdminCalls::ListAdapters),
      Method("PinAdapter", calls, &AdminCalls::PinAdapter),
      Method("PutTask", calls, &AdminCalls::PutTask),
      Method("DeleteTask", calls, &AdminCalls::DeleteTask),
      Method("GetStatus", calls, &AdminCalls::GetStatus),
      Method("Drain", calls, &AdminCalls::Drain),
  };
}

}  // namespace guildhall
