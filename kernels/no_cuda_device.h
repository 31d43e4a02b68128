// A refusal that says that there is no CUDA device at all: a build without, no driver, or none that it shows.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace guildhall {

// Of a status: what its code does not tell apart.
inline constexpr const char* kNoCudaDeviceMark = "guildhall/no-cuda-device";

// FAILED_PRECONDITION. Inline: programs that have no back end are linked with what says so, too.
inline absl::Status NoCudaDevice(std::string_view why) {
  absl::Status refusal = absl::FailedPreconditionError(std::string(why));
  refusal.SetPayload(kNoCudaDeviceMark, absl::Cord());
  return refusal;
}

inline bool IsNoCudaDevice(const absl::Status& refusal) {
  return refusal.GetPayload(kNoCudaDeviceMark).has_value();
}

}  // namespace guildhall
