#include "server/grpc/door.h"

#include <utility>

#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr int64_t kEntryBytes = 32;  // that HTTP/2 counts for an entry beside its name and value

bool IsHealth(CallKind kind) {
  return kind == CallKind::kHealth || kind == CallKind::kWatch;
}

}  // namespace

Door::Door(DoorOptions options, ConnectionTable& connections)
    : authorize_(std::move(options.authorize)),
      metadata_bytes_(options.metadata_bytes),
      connections_(connections),
      requests_("the call's message", options.waiting_calls, absl::Seconds(options.request_timeout_s)),
      conversations_("the end of reflection", options.conversations, options.conversation),
      limits_(options.calls),
      threads_(options.threads),
      rooms_{requests_, conversations_, limits_, threads_} {
  for (GrpcMethod& method : options.methods) {
    std::string path = method.path;
    methods_.emplace(std::move(path), std::move(method));
  }
}

grpc::ServerGenericBidiReactor* Door::CreateReactor(CallContext* context) {
  const auto at = methods_.find(context->method());
  const GrpcMethod* const method = at == methods_.end() ? nullptr : &at->second;
  absl::Status refusal;
  ConnectionTable::Ticket ticket =
      connections_.Enter(context->peer(), method == nullptr ? CallKind::kQuery : method->kind, refusal);
  if (const absl::Status admitted = Admit(*context, method); !admitted.ok()) refusal = admitted;
  if (refusal.ok()) return method->make(*context, std::move(ticket), rooms_);
  return new RefusedCall(*context, std::move(ticket), refusal);
}

absl::Status Door::Admit(const CallContext& context, const GrpcMethod* method) const {
  const bool health = method != nullptr && IsHealth(method->kind);
  if (authorize_ != nullptr && !health) GH_RETURN_IF_ERROR(authorize_(AuthorizationOf(context)));
  if (method == nullptr) {
    return absl::UnimplementedError(StrCat("this listener has no method ", context.method()));
  }
  return CheckMetadata(context);
}

absl::Status Door::CheckMetadata(const CallContext& context) const {
  int64_t bytes = 0;
  for (const auto& [name, value] : context.client_metadata()) {
    bytes += static_cast<int64_t>(name.size() + value.size()) + kEntryBytes;
  }
  if (bytes <= metadata_bytes_) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat("the call's metadata take ", bytes, " bytes, ", kEntryBytes,
                                             " for each entry included, more than limits.metadata_bytes, ",
                                             metadata_bytes_));
}

void Door::Tick() {
  requests_.TurnAwayLate();
  conversations_.TurnAwayLate();
}

void Door::Close() {
  const absl::Status closed = absl::UnavailableError("the server shuts down");
  requests_.TurnAwayAll(closed);
  conversations_.TurnAwayAll(closed);
}

}  // namespace guildhall
