// Errors with google.rpc details: what a client's program may act on, whatever transport carries it.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"

namespace guildhall {

// Details travel inward to outward as payloads of the absl::Status, one of each type.
void AddDetail(absl::Status& status, const google::protobuf::Message& detail);

// INVALID_ARGUMENT "FIELD: DESCRIPTION" with a BadRequest. `field` is the path from the request
// ("sampling.top_p").
absl::Status FieldError(std::string_view field, std::string_view description);
// The same detail on a status that somebody else made (OUT_OF_RANGE of a long prompt).
absl::Status WithField(absl::Status status, std::string_view field);
// A ResourceInfo on a status that somebody else made; `type` is "task" or "adapter".
absl::Status WithResource(absl::Status status, std::string_view type, std::string_view name);
// NOT_FOUND with a ResourceInfo.
absl::Status MissingResource(std::string_view type, std::string_view name);
// FAILED_PRECONDITION with a PreconditionFailure; `type` is for programs ("TOKENIZER"), `subject` names the
// thing.
absl::Status PreconditionError(std::string_view type, std::string_view subject, std::string_view description);
// The same detail on a status that somebody else made.
absl::Status WithPrecondition(absl::Status status, std::string_view type, std::string_view subject);
// With a RetryInfo.
absl::Status WithRetry(absl::Status status, absl::Duration delay);

// The same code and details with another text.
absl::Status WithMessage(const absl::Status& status, std::string_view message);

// The outside form of an error, for every transport: its code, its text, its details. RESOURCE_EXHAUSTED and
// UNAVAILABLE get a RetryInfo where they have none. Long texts are cut and details dropped so that all of it
// stays below 8 KB in a gRPC trailer; invalid UTF-8 is replaced.
google::rpc::Status RichStatus(const absl::Status& status);

}  // namespace guildhall
