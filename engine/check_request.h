// The last look at a request before it is queued: what no amount of waiting would make possible is refused
// here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "engine/request.h"

namespace guildhall {

inline constexpr size_t kMaxCacheSalt = 256;  // bytes

struct RequestLimits {
  int64_t vocabulary = 0;
  int64_t max_positions = 0;
  int64_t kv_tokens = 0;  // that the whole KV cache holds
};

// OUT_OF_RANGE with the numbers when the request can never fit; INVALID_ARGUMENT for values that would break
// the step (a caller that validated its input never sees those). Allocates nothing in proportion to the
// values.
absl::Status CheckRequest(const Request& request, const RequestLimits& limits);

}  // namespace guildhall
