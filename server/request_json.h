// JSON that a request brings as text.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace guildhall {

// With the caps of requests on depth and on keys, so that nothing that is made of it costs more than its
// bytes say. INVALID_ARGUMENT without a field: the caller names it.
absl::StatusOr<Json> ParseRequestJson(std::string_view text);

}  // namespace guildhall
